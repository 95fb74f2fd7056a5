"""The data that the site's script shows. Names are short and lists are columns where there are a million entries."""

from __future__ import annotations

from gaudi_perf.reports.page.data import Pair, Shown, ShownTrend


class Names(Shown, frozen=True, kw_only=True):
    """What pages refer to by index: cases, states (key and name, worst first), baselines, stacks, pages of trends.

    ``tolerance``: of a latency, as a share.
    """

    tolerance: float

    cases: list[str]
    states: list[Pair]
    baselines: list[str]
    stacks: list[str]
    trends: list[TrendName]


class TrendName(Shown, frozen=True, kw_only=True):
    """A trend: its page, the index of its case, its device, and what else distinguishes it from others of that case."""

    page: str
    case: int
    device: str
    more: str = ""


class SessionTable(Shown, frozen=True, kw_only=True):
    """What the cases of a session came to, in columns; an entry that is not known is null.

    Attributes:
        trend: index of the trend.
        baseline: index of the baseline's label.
        level: in seconds; ``before`` is the baseline's.
        ratio: the estimate; ``low`` and ``high`` are the ends of its interval.
        headlines: by index of the case, of those that need a look.
        levels: trends and levels in seconds, all that it measured.
    """

    id: str
    at: str
    title: str
    about: list[Pair]
    links: list[tuple[str, str, str]]
    case: list[int]
    state: list[int]
    trend: list[int]
    baseline: list[int]
    level: list[float | None]
    before: list[float | None]
    ratio: list[float | None]
    low: list[float | None]
    high: list[float | None]
    headlines: dict[int, str]
    levels: tuple[list[int], list[float | None]]


class Spark(Shown, frozen=True, kw_only=True):
    """The newest levels of a trend; ``changes`` have the index at which a level begins, and its ratio."""

    level: list[float]
    changes: list[tuple[int, float]] = []
    since: str = ""


class Index(Shown, frozen=True, kw_only=True):
    """The first page: the newest session, and the newest levels of its trends by their index."""

    newest: SessionTable
    sparks: dict[int, Spark]
    previous: list[tuple[str, str]]
    problems: list[str] = []


class ListedTrend(Shown, frozen=True, kw_only=True):
    """A trend in the list of all: when it was measured last and how often, its newest level and last change."""

    trend: int
    at: str
    sessions: int
    level: float
    ratio: float | None = None
    since: str = ""


class ListedSession(Shown, frozen=True, kw_only=True):
    """A session in the list of all; ``counts`` has the number of each state, by its index."""

    id: str
    at: str
    title: str
    devices: str
    stacks: str
    cases: int
    counts: dict[int, int]


class Release(Shown, frozen=True, kw_only=True):
    """The levels on a version of the stack: the median of its sessions' levels, else that of the baseline."""

    name: str
    sessions: int
    trend: list[int]
    level: list[float]


class TrendPage(Shown, frozen=True, kw_only=True):
    """The page of a trend; sessions are named by their place in the list of all."""

    case: str
    device: str
    about: list[Pair]
    trend: ShownTrend
    stacks: list[str]
    sessions: list[int]
    levels: list[tuple[str, float, int]]
    written: list[Pair]
