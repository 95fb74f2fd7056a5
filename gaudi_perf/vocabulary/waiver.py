"""Waivers: regressions that are known, and may pass for a while."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.baseline import Date, require_day
from gaudi_perf.vocabulary.documents import Document, Name, Slug, Text, repeated
from gaudi_perf.vocabulary.stack import Stack, StackKind, parse_version, require_version


class Waiver(Document, frozen=True, kw_only=True):
    """A known regression of a case, which passes on stacks of a kind before a version.

    Attributes:
        until: the version from which it fails again, for instance ``1.26.0``: on 1.25.1 it passes, on 1.26.0 it fails.
        up_to_ratio: the worst ratio, candidate to baseline, that passes: 1.10 is 10 % slower. None waives any.
    """

    case: Name
    device: Slug
    reason: Text
    until: Name
    kind: StackKind = "synapse"
    up_to_ratio: Annotated[float, msgspec.Meta(gt=1)] | None = None
    added_on: Date

    def __post_init__(self) -> None:
        require_version(self.until)
        require_day(self.added_on)
        if not self.reason.strip():
            raise ValueError("the reason is empty: say why the regression may pass")

    @property
    def key(self) -> tuple[str, str, str]:
        """What no other waiver of a file has, in the order of the file."""
        return (self.device, self.case, self.kind)

    @property
    def until_stack(self) -> str:
        """The name of the stack from which it fails again, for instance ``synapse-1.26.0``."""
        return Stack(kind=self.kind, version=self.until).name

    def expired(self, stack: Stack) -> bool:
        """Whether it has no effect on a stack any more; a waiver of another kind of stack never had one."""
        return stack.kind != self.kind or stack.order >= parse_version(self.until)

    def covers(self, case_id: str, device_name: str, stack: Stack, ratio: float | None = None) -> bool:
        """Whether a regression may pass; a ratio (candidate to baseline) that is not known is within any limit."""
        if (self.case, self.device) != (case_id, device_name) or self.expired(stack):
            return False
        return ratio is None or self.up_to_ratio is None or ratio <= self.up_to_ratio


class Waivers(Document, frozen=True, kw_only=True):
    """All waivers: the file ``waivers.json`` beside the devices' directories."""

    schema: Literal["gaudi-perf/waivers/1"] = "gaudi-perf/waivers/1"
    waivers: list[Waiver] = []

    def __post_init__(self) -> None:
        if key := repeated(waiver.key for waiver in self.waivers):
            raise ValueError(f"{key[1]} on {key[0]} is waived twice: keep one waiver")
