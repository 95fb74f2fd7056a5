from __future__ import annotations

import pytest

from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS, PROMPT, Workload, fixed_ids


@pytest.mark.parametrize("count", [1, 7, 1024])
def test_ids_of_any_number_begin_as_the_seven(count: int) -> None:
    ids = fixed_ids(PROMPT, count, 2048)
    assert len(ids) == count and ids[:7] == list(FIXED_PROMPT_IDS)[:count]
    assert all(4 <= one < 2048 for one in ids) and ids == fixed_ids(PROMPT, count, 2048)
    assert len(set(ids)) > count / 2


@pytest.mark.parametrize("vocabulary", [1, 4, 5, 100, 365, 366])
def test_ids_are_of_the_vocabulary(vocabulary: int) -> None:
    assert all(0 <= one < vocabulary for one in fixed_ids(PROMPT, 50, vocabulary))


def test_another_text_has_other_ids() -> None:
    assert fixed_ids("a", 20, 2048) != fixed_ids("b", 20, 2048)


def test_the_prompts_of_a_dataset() -> None:
    assert Workload(prompt="dataset tldr").of_dataset and not Workload().of_dataset
