"""Waivers: regressions that are known, and may pass for a while."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gaudi_perf.vocabulary.baseline import Date
from gaudi_perf.vocabulary.documents import Document, Name, Slug
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import percent_set
from gaudi_perf.vocabulary.stack import Stack, StackKind
from gaudi_perf.vocabulary.versions import parse_version

WAIVERS_SCHEMA = "gaudi-perf/waivers/1"


class Waiver(Document, frozen=True, kw_only=True):
    """A known regression of a case, which passes on stacks before a version.

    Attributes:
        case: the case id.
        device: the device's name.
        reason: why it may pass, for people.
        until: the version from which it fails again, for instance ``1.26.0``: on 1.25.1 it passes, on 1.26.0 it fails.
        kind: whose version that is.
        up_to_ratio: only while candidate to baseline is at most this: 1.10 waives up to 10 % slower, and a worse
            regression fails. None waives any.
        added_on: when it was written.
    """

    case: Name
    device: Slug
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    until: Name
    kind: StackKind = "synapse"
    up_to_ratio: Annotated[float, msgspec.Meta(gt=1)] | None = None
    added_on: Date

    def __post_init__(self) -> None:
        """Refuse a version that has no place in the order, and a reason that says nothing."""
        try:
            parse_version(self.until)
        except UserError as error:
            raise ValueError(str(error)) from None
        if not self.reason.strip():
            raise ValueError("the reason is empty: say why the regression may pass")

    @property
    def until_stack(self) -> str:
        """The name of the stack from which it fails again, for instance ``synapse-1.26.0``."""
        return f"{self.kind}-{self.until}"

    def sentence(self, stack: Stack | None) -> str:
        """The waiver on a line, and what it means on a stack (None where none was measured)."""
        limit = "" if self.up_to_ratio is None else f" up to {percent_set(self.up_to_ratio - 1)} slower"
        over = stack is not None and stack.kind == self.kind and self.expired(stack)
        state = f"; EXPIRED on {stack.name}: it fails again" if over and stack is not None else ""
        return f"{self.case} on {self.device}{limit} until {self.until_stack}{state}: {self.reason}"

    def expired(self, stack: Stack) -> bool:
        """Whether it has no effect on a stack any more; a waiver of another kind of stack never had one."""
        return stack.kind != self.kind or stack.order >= parse_version(self.until)

    def covers(self, case_id: str, device_name: str, stack: Stack, ratio: float | None = None) -> bool:
        """Whether a regression of a case on a device and stack may pass.

        Args:
            case_id: for instance ``bloomz7b-8x-graphs-kvcache``.
            device_name: for instance ``gaudi2``.
            stack: what it was measured on.
            ratio: candidate to baseline; None if that is not known, and then a waiver with a limit covers it.
        """
        if (self.case, self.device) != (case_id, device_name) or self.expired(stack):
            return False
        return ratio is None or self.up_to_ratio is None or ratio <= self.up_to_ratio


class Waivers(Document, frozen=True, kw_only=True):
    """All waivers: the file ``waivers.json`` beside the devices' directories."""

    schema: str = WAIVERS_SCHEMA
    waivers: list[Waiver] = []

    def __post_init__(self) -> None:
        """Refuse other schemas, and two waivers of the same case."""
        if self.schema != WAIVERS_SCHEMA:
            raise ValueError(f"schema is {self.schema!r}, and this release reads {WAIVERS_SCHEMA!r}")
        seen: set[tuple[str, str, str]] = set()
        for waiver in self.waivers:
            key = (waiver.case, waiver.device, waiver.kind)
            if key in seen:
                raise ValueError(f"{waiver.case} on {waiver.device} is waived twice: keep one waiver")
            seen.add(key)
