import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment import lookup
from sentiment.lookup import HashTable

KEYS = st.integers(1, 2**63 - 1)


@settings(deadline=None)
@given(keys=st.lists(KEYS, unique=True), others=st.lists(KEYS))
def test_table_finds_its_keys_and_no_others(keys, others):
    columns = np.arange(len(keys))[::-1].copy()
    table = HashTable(np.array(keys, np.int64), columns)
    np.testing.assert_array_equal(table.find(np.array(keys, np.int64)), columns)
    expected = [columns[keys.index(key)] if key in keys else -1 for key in others]
    assert table.find(np.array(others, np.int64)).tolist() == expected


def test_table_of_a_million_consecutive_keys():
    keys = np.arange(1, 1_000_001)
    np.testing.assert_array_equal(HashTable(keys, keys).find(keys), keys)


def test_table_grows_when_a_key_cannot_be_placed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lookup, "_SLOTS_PER_KEY", 0.5)
    keys = np.arange(1, 1001)
    np.testing.assert_array_equal(HashTable(keys, keys).find(keys), keys)
