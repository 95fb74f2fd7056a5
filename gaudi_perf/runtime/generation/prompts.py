"""The prompt as token ids."""

from __future__ import annotations

import statistics
import time

from gaudi_perf.runtime.engines.base import Prompt
from gaudi_perf.runtime.generation.weights import load_tokenizer, source_of
from gaudi_perf.runtime.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS, PROMPT, PROMPT_TOKENS

_TIMES = 5


def prompt_of(group: GroupSpec) -> Prompt:
    """The workload's prompt for a group: fixed ids for dummy weights, else what the tokenizer makes of it.

    Raises:
        UserError: there is no tokenizer, or the hub's makes another number of tokens than the workload says.
    """
    if group.weights.kind == "dummy":
        return Prompt(ids=list(FIXED_PROMPT_IDS), tokenization_s=None)
    tokenizer = load_tokenizer(group)
    seconds = []
    ids: list[int] = []
    for _ in range(_TIMES):
        begin = time.perf_counter()
        ids = tokenizer(PROMPT)["input_ids"]
        seconds.append(time.perf_counter() - begin)
    if len(ids) != PROMPT_TOKENS:
        raise UserError(
            f"--weights {group.weights.kind}: the tokenizer of {source_of(group)} makes {len(ids)} tokens of the "
            f"prompt, and BLOOM's makes {PROMPT_TOKENS}: it is not BLOOM's tokenizer"
        )
    return Prompt(ids=ids, tokenization_s=statistics.median(seconds))
