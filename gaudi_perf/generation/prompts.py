"""The prompt as token ids."""

from __future__ import annotations

import statistics
import timeit
from dataclasses import dataclass

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import PROMPT, PROMPT_TOKENS, fixed_ids

_TIMES = 5


@dataclass(frozen=True)
class Prompt:
    """The workload's prompt as token ids, and the seconds that the tokenizer takes; None where ids are fixed."""

    ids: list[int]
    tokenization_s: float | None


def prompt_of(group: GroupSpec, text: str = PROMPT, tokens: int = PROMPT_TOKENS) -> Prompt:
    """A prompt for a group: fixed ids for dummy weights, else what the tokenizer makes of it, cut to so many tokens.
    Raises UserError if there is no tokenizer, or BLOOM's makes another number of tokens than published.
    """
    if group.weights.kind == "dummy":
        return Prompt(ids=fixed_ids(text, tokens, group.built.vocabulary), tokenization_s=None)
    from gaudi_perf.generation.weights import load_tokenizer, source_of  # which imports transformers

    tokenizer = load_tokenizer(group)
    ids = tokenizer(text)["input_ids"]
    seconds = timeit.repeat(lambda: tokenizer(text), number=1, repeat=_TIMES)
    if text == PROMPT and len(ids) != PROMPT_TOKENS and group.built.family == "bloom":
        raise UserError(
            f"--weights {group.weights.kind}: the tokenizer of {source_of(group)} makes {len(ids)} tokens of the "
            f"prompt, and BLOOM's makes {PROMPT_TOKENS}: it is not BLOOM's tokenizer"
        )
    return Prompt(ids=ids[:tokens], tokenization_s=statistics.median(seconds))
