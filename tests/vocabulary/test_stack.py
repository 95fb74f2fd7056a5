from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import parse_version


def test_the_order_of_releases() -> None:
    in_order = ["1.8.0", "1.9.0-preview", "1.9.0", "1.10.0", "1.22.0-rc1", "1.22.0", "1.22.0.740", "1.22.1", "1.24.0"]
    assert sorted(reversed(in_order), key=parse_version) == in_order


def test_spellings_of_a_version_are_equal() -> None:
    assert parse_version("1.8") == parse_version("1.8.0")


@given(st.text(max_size=30) | st.just("9" * 5000))
def test_any_text_is_a_version_or_a_sentence(text: str) -> None:
    try:
        parse_version(text)
    except UserError as error:
        assert "is not a version: write it like 1.24.0" in str(error)
    else:
        assert text == text.strip()


@pytest.mark.parametrize("text", ["", "newest", "1.8.0\n", " 1.8.0", "1..8", "1.8.x"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UserError, match="is not a version"):
        parse_version(text)
