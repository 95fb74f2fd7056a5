"""Issues on GitHub, by its command line ``gh``: one for each regression; the open ones are what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gaudi_perf.judging.regressions import Notice
from gaudi_perf.notifying.programs import run
from gaudi_perf.reports.notices import issue, sentence, title
from gaudi_perf.reports.tabular import escaped
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.regression import OpenRegression, RegressionKey

LABEL = "performance-regression"
_MOST = 500
_BEGIN, _END = "<!-- gaudi-perf: ", " -->"
_REMEDY = "install gh (cli.github.com), and give it a token that may write issues in GH_TOKEN"


class _Issue(msgspec.Struct):
    number: int
    body: str


@dataclass(frozen=True)
class IssueTracker:
    """The issues of a repository, which ``gh`` finds by the working directory or by GH_REPO.

    Attributes:
        problems: issues that have the label and cannot be understood, a sentence each.
    """

    known: Mapping[RegressionKey, OpenRegression]
    problems: tuple[str, ...] = ()
    _numbers: Mapping[RegressionKey, int] = field(default_factory=dict)

    @classmethod
    def read(cls) -> IssueTracker:
        """Read the open issues of regressions; UserError if ``gh`` cannot."""
        listing = ["gh", "issue", "list", "--label", LABEL, "--state", "open", "--limit", str(_MOST)]
        text = run([*listing, "--json", "number,body"], remedy=_REMEDY)
        known: dict[RegressionKey, OpenRegression] = {}
        numbers: dict[RegressionKey, int] = {}
        problems = []
        for found in sorted(decode(text or "[]", list[_Issue], "gh issue list"), key=lambda one: one.number):
            try:
                one = _hidden(found)
            except UserError as error:
                problems.append(str(error))
                continue
            if known.setdefault(one.key, one) is not one:
                problems.append(f"issue {found.number}: is of the same regression as {numbers[one.key]}: close one")
            numbers.setdefault(one.key, found.number)
        return cls(known, tuple(problems), numbers)

    def update(self, found: Sequence[Notice], links: Mapping[str, str]) -> None:
        """Open, update and close issues; UserError if ``gh`` cannot."""
        if any(notice.kind == "opened" for notice in found):
            label = ["gh", "label", "create", LABEL, "--force", "--color", "b60205"]
            run([*label, "--description", "A case is slower than its baseline"], remedy=_REMEDY)
        for notice in found:
            body = f"{_hide(notice.regression)}\n{issue(notice, links)}"
            if notice.kind == "opened":
                words = ["gh", "issue", "create", "--title", title(notice.regression), "--label", LABEL]
                run([*words, "--body-file", "-"], body, remedy=_REMEDY)
                continue
            number = str(self._numbers[notice.regression.key])
            if notice.over:
                comment = escaped(sentence(notice))
                run(["gh", "issue", "close", number, "--comment", comment], remedy=_REMEDY)
            elif notice.kind == "open":
                run(["gh", "issue", "edit", number, "--body-file", "-"], body, remedy=_REMEDY)


def _hide(regression: OpenRegression) -> str:
    """What the next night must know, as a comment that the page does not show; it cannot end early."""
    return f"{_BEGIN}{msgspec.json.encode(regression).decode().replace('>', chr(92) + 'u003e')}{_END}"


def _hidden(found: _Issue) -> OpenRegression:
    first = found.body.partition("\n")[0].strip()
    if not (first.startswith(_BEGIN) and first.endswith(_END)):
        raise UserError(f"issue {found.number}: has the label {LABEL}, and no regression in its first line")
    return decode(first[len(_BEGIN) : -len(_END)], OpenRegression, f"issue {found.number}")
