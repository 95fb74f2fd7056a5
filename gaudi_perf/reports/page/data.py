"""The data that the page's script draws, and the rows that are written before any script runs.

Everything in here is shown; texts are harmless already, numbers are rounded to what can be seen. Durations are in
seconds. Names are short where there are thousands of them.
"""

from __future__ import annotations

import msgspec

Pair = tuple[str, str]
"""A name and its value, as people read them."""


_DIGITS = 5


def rounded(value: float) -> float:
    """A number with as many significant digits as can be seen."""
    return float(f"{value:.{_DIGITS}g}")


def rounded_or_none(value: float | None) -> float | None:
    """The same where there is one."""
    return None if value is None else rounded(value)


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all that goes into the page; what has its default is left out."""


class RoundsOfRun(Shown, frozen=True, kw_only=True):
    """A run: when it started, its warm-up rounds, and those that count."""

    at: str
    warm: list[float] = []
    kept: list[float]
    steady: bool = True


class ShownComparison(Shown, frozen=True, kw_only=True):
    """A verdict.

    Attributes:
        key: its kind in one lower-case word.
        metric: what was compared; empty for the latency.
        gates: whether the case's test depends on it.
        against: the baseline's label.
        level: the baseline's level.
        runs: the baseline's rounds, run by run, where they are stored.
        split: first token and per output token of the baseline.
        environment: index of the differences between the two stacks.
        stack: index of the baseline's stack.
    """

    kind: str
    key: str
    metric: str = ""
    gates: bool = True
    against: str = ""
    role: str = ""
    why: list[str] = []
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float
    level: float | None = None
    runs: list[list[float]] = []
    split: tuple[float, float] | None = None
    environment: int | None = None
    stack: int | None = None


class Environment(Shown, frozen=True, kw_only=True):
    """The baseline's stack and the one that was measured: name, before and now of what changed, and what is alike."""

    before: str
    now: str
    changed: list[tuple[str, str, str]]
    same: list[Pair]


class LevelChange(Shown, frozen=True, kw_only=True):
    """A change of level; ``index`` is the first session of the new level, ``changed`` is of the stack."""

    index: int
    ratio: float
    text: str
    changed: list[str] = []


class ShownTrend(Shown, frozen=True, kw_only=True):
    """What all sessions measured, by time; one entry a session in each list.

    Attributes:
        at: minutes since 1970, in UTC.
        level: median.
        low: lower quartile of the rounds.
        high: upper quartile.
        stack: index of the stack's name.
        odd: sentences on sessions that are no change of level.
    """

    at: list[int]
    level: list[float]
    low: list[float]
    high: list[float]
    stack: list[int]
    changes: list[LevelChange] = []
    odd: list[str] = []


class Limit(Shown, frozen=True, kw_only=True):
    """The memory-bandwidth limit: no generation takes less ``seconds``; a share of 0.85 is 85 % of it."""

    seconds: float
    share: float
    text: str


class ShownCase(Shown, frozen=True, kw_only=True):
    """A case with all that is known of it.

    Attributes:
        state: the key of its verdict, ``waived``, ``failed`` or ``skipped``.
        severity: its place among states, worst first.
        spread: of the rounds, as a share.
        first: seconds to the first token.
        per: seconds for every following token.
        tokens: new tokens a second, over all rows.
        facts: names and values, by heading.
        stack: index of the stack that it was measured on.
        levels: level by stack, for the heat map: pairs of index and seconds.
        problem: why there is no measurement, or why it must not be judged.
        alone: why there is no trend, in a few words; empty if there is one.
        written: what people noted, with the day.
    """

    id: str
    state: str
    severity: int
    headline: str
    comparisons: list[ShownComparison] = []
    waived: str = ""
    problem: str = ""
    notes: list[str] = []
    latency: float | None = None
    spread: float | None = None
    first: float | None = None
    per: float | None = None
    tokens: float | None = None
    new_tokens: int = 100
    rounds: list[RoundsOfRun] = []
    facts: dict[str, list[Pair]] = {}
    trend: ShownTrend | None = None
    stack: int | None = None
    levels: list[tuple[int, float]] = []
    limit: Limit | None = None
    alone: str = ""
    written: list[Pair] = []


class Page(Shown, frozen=True, kw_only=True):
    """The whole page; stacks are named oldest first, ``counts`` has key, name and number of each state, worst first.

    ``links`` go to the commit, the CI's run and the pull request: name, text and address, which may be empty.
    """

    title: str
    session: str
    about: list[Pair]
    links: list[tuple[str, str, str]] = []
    stacks: list[str]
    counts: list[tuple[str, str, int]]
    environments: list[Environment]
    cases: list[ShownCase]
    commands: list[str] = []
    warnings: list[str] = []
    notes: list[str] = []
    version: str = ""
