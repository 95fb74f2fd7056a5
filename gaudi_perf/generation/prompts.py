"""The prompt as token ids."""

from __future__ import annotations

import statistics
import timeit
from dataclasses import dataclass

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS, PROMPT, PROMPT_TOKENS

_TIMES = 5


@dataclass(frozen=True)
class Prompt:
    """The workload's prompt as token ids.

    Attributes:
        tokenization_s: seconds that the tokenizer takes, or None where fixed ids stand for the prompt.
    """

    ids: list[int]
    tokenization_s: float | None


def prompt_of(group: GroupSpec) -> Prompt:
    """The workload's prompt for a group: fixed ids for dummy weights, else what the tokenizer makes of it.

    Raises:
        UserError: there is no tokenizer, or the hub's makes another number of tokens than the workload says.
    """
    if group.weights.kind == "dummy":
        return Prompt(ids=list(FIXED_PROMPT_IDS), tokenization_s=None)
    from gaudi_perf.generation.weights import load_tokenizer, source_of  # which imports transformers

    tokenizer = load_tokenizer(group)
    ids = tokenizer(PROMPT)["input_ids"]
    seconds = timeit.repeat(lambda: tokenizer(PROMPT), number=1, repeat=_TIMES)
    if len(ids) != PROMPT_TOKENS:
        raise UserError(
            f"--weights {group.weights.kind}: the tokenizer of {source_of(group)} makes {len(ids)} tokens of the "
            f"prompt, and BLOOM's makes {PROMPT_TOKENS}: it is not BLOOM's tokenizer"
        )
    return Prompt(ids=ids, tokenization_s=statistics.median(seconds))
