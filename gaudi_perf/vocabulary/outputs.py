"""The logits of a model along a sequence of tokens: the evidence by which outputs are compared."""

from __future__ import annotations

from gaudi_perf.vocabulary.documents import Document, TokenId


class TokenTrace(Document, frozen=True):
    """The logits of one generation that was led along given tokens; every list has an entry for each step.

    Attributes:
        likeliest: the few likeliest tokens, the likeliest first; ``logits`` are theirs.
        followed: the logit of the token that it was led along.
        spread: the standard deviation of the logits over the sampled vocabulary; ``magnitude`` their mean absolute
            value.
        sample: the logits of evenly spaced token ids, the same in every configuration of a model; not in documents.
    """

    token_ids: list[TokenId]
    likeliest: list[list[TokenId]]
    logits: list[list[float]]
    followed: list[float]
    spread: list[float]
    magnitude: list[float]
    sample: list[list[float]] = []

    def __post_init__(self) -> None:
        steps = len(self.token_ids)
        lists = (self.likeliest, self.logits, self.followed, self.spread, self.magnitude)
        if any(len(values) != steps for values in lists) or len(self.sample) not in (0, steps):
            raise ValueError(f"a trace of {steps} tokens has lists of other lengths")
        if any(not ids or len(ids) != len(logits) for ids, logits in zip(self.likeliest, self.logits, strict=True)):
            raise ValueError("a step has no likeliest token, or not as many logits as tokens")
