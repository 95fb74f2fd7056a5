"""What the page is made of: the data that its script draws, and the rows that are written before any script runs.

Everything in here is shown; texts are harmless already, numbers are rounded to what can be seen. Durations are in
seconds. Names are short where there are thousands of them.
"""

from __future__ import annotations

import msgspec

Pair = tuple[str, str]
"""A name and its value, as people read them."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all that goes into the page; what has its default is left out."""


class RoundsOfRun(Shown, frozen=True, kw_only=True):
    """The rounds of a run.

    Attributes:
        at: when it started.
        warm: warm-up rounds, in seconds.
        kept: the rounds that count, in seconds.
        steady: whether the rounds that count are steady.
    """

    at: str
    warm: list[float] = []
    kept: list[float]
    steady: bool = True


class ShownComparison(Shown, frozen=True, kw_only=True):
    """A verdict.

    Attributes:
        kind: REGRESSED and so on.
        key: the same in one lower-case word.
        metric: what was compared; empty for the latency.
        gates: whether the case's test depends on it.
        against: the baseline's label.
        why: what it means, sentence by sentence.
        level: the baseline's level, in seconds.
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
    """Two stacks side by side.

    Attributes:
        before: the baseline's name.
        now: that of what was measured.
        changed: component, before, now.
        same: component and version, where both agree.
    """

    before: str
    now: str
    changed: list[tuple[str, str, str]]
    same: list[Pair]


class LevelChange(Shown, frozen=True, kw_only=True):
    """A change of level in a trend.

    Attributes:
        index: the first session of the new level.
        ratio: new level to old.
        text: since when, by how much, and how sure that is.
        changed: what changed in the stack there.
    """

    index: int
    ratio: float
    text: str
    changed: list[str] = []


class ShownTrend(Shown, frozen=True, kw_only=True):
    """What all sessions measured, by time; one entry a session in each list.

    Attributes:
        at: minutes since 1970, in UTC.
        level: median, in seconds.
        low: lower quartile of the rounds.
        high: upper quartile.
        stack: index of the stack's name.
        changes: changes of level.
        searched: whether changes of level were looked for.
    """

    at: list[int]
    level: list[float]
    low: list[float]
    high: list[float]
    stack: list[int]
    changes: list[LevelChange] = []
    searched: bool = False


class Limit(Shown, frozen=True, kw_only=True):
    """The memory-bandwidth limit.

    Attributes:
        seconds: no generation takes less.
        share: how close the measurement comes, 0.85 for 85 %.
        text: the same in words, with the bandwidth's source.
    """

    seconds: float
    share: float
    text: str


class ShownCase(Shown, frozen=True, kw_only=True):
    """A case with all that is known of it.

    Attributes:
        headline: what is known of it, in a sentence.
        state: the key of its verdict, ``waived``, ``failed`` or ``skipped``.
        severity: its place among states, worst first.
        latency: in seconds.
        spread: of the rounds, as a share.
        first: seconds to the first token.
        per: seconds for every following token.
        new_tokens: how many tokens a generation has.
        facts: names and values, by heading.
        stack: index of the stack that it was measured on.
        levels: level by stack, for the heat map: pairs of index and seconds.
        problem: why there is no measurement, or why it must not be judged.
        notes: what else is to be known.
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
    new_tokens: int = 100
    rounds: list[RoundsOfRun] = []
    facts: dict[str, list[Pair]] = {}
    trend: ShownTrend | None = None
    stack: int | None = None
    levels: list[tuple[int, float]] = []
    limit: Limit | None = None


class Page(Shown, frozen=True, kw_only=True):
    """The whole page.

    Attributes:
        title: what the session comes to, in a sentence.
        about: device, stack, workload and so on.
        stacks: names of stacks, oldest first.
        counts: key, name and number of each state, worst first.
        commands: what to do next.
        warnings: about devices and stacks.
        notes: what could not be read, and the like.
    """

    title: str
    session: str
    about: list[Pair]
    stacks: list[str]
    counts: list[tuple[str, str, int]]
    environments: list[Environment]
    cases: list[ShownCase]
    commands: list[str] = []
    warnings: list[str] = []
    notes: list[str] = []
    version: str = ""
