import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment import lookup
from sentiment.lookup import Table

KEYS = st.integers(1, 2**63 - 1)


@settings(deadline=None)
@given(keys=st.lists(KEYS, unique=True), others=st.lists(KEYS))
def test_finds_each_key_and_no_other(keys, others):
    columns = np.arange(len(keys))[::-1].copy()
    found = Table(np.array(keys, np.int64), columns)
    np.testing.assert_array_equal(found.find(np.array(keys, np.int64)), columns)
    expected = [columns[keys.index(key)] if key in keys else -1 for key in others]
    assert found.find(np.array(others, np.int64)).tolist() == expected


def test_a_million_keys_in_a_row_all_find_a_place():
    keys = np.arange(1, 1_000_001)
    np.testing.assert_array_equal(Table(keys, keys).find(keys), keys)


def test_takes_more_room_where_keys_find_no_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lookup, "_ROOM", 0.5)
    keys = np.arange(1, 1001)
    np.testing.assert_array_equal(Table(keys, keys).find(keys), keys)
