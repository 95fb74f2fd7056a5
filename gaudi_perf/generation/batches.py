"""Prompts of several lengths as one batch of a fixed shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gaudi_perf.vocabulary.errors import UserError


def padded(
    prompts: Sequence[Sequence[int]], rows: int, width: int, pad_token_id: int, device: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both of shape (rows, width), padded on the left: decoders go on at the right.

    BLOOM's position bias follows from the distance of positions,
    and what is masked has no weight, so that each prompt is completed as if alone. In a batch with too few prompts rows
    take them in turn.

    Raises:
        UserError: there are no prompts or too many, or one is empty or too long.
    """
    if not 1 <= len(prompts) <= rows:
        raise UserError(f"a batch of {len(prompts)} prompts, where the shape has room for 1 to {rows}")
    ids = torch.full((rows, width), pad_token_id, dtype=torch.long)
    mask = torch.zeros((rows, width), dtype=torch.long)
    for row in range(rows):
        prompt = prompts[row % len(prompts)]
        if not 1 <= len(prompt) <= width:
            raise UserError(f"a prompt of {len(prompt)} tokens, where the shape has room for 1 to {width}")
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
