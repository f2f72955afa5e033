"""The form of a request's id."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import request_id

FORM = st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True)


@given(FORM)
def test_id_of_the_form_is_kept(name):
    assert request_id.choose(name) == name
    assert request_id.choose(None, name, "other") == name


@given(st.text())
def test_other_ids_are_replaced(name):
    chosen = request_id.choose(name)
    assert request_id.is_valid(chosen)
    assert chosen == name or uuid.UUID(chosen).version == 4


@pytest.mark.parametrize("name", ["", "a\n", "a" * 129, "\u0660", "a b", "é", "a/b"])
def test_ids_beyond_the_form(name):
    assert not request_id.is_valid(name)
    assert request_id.choose(name) != name
    assert request_id.choose(name, "second") == "second"
