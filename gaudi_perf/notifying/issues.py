"""Issues on GitHub, by its command line ``gh``: one for each regression; the open ones are what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gaudi_perf.judging.regressions import Notice
from gaudi_perf.notifying.programs import run
from gaudi_perf.reports.notices import issue, sentence, title
from gaudi_perf.reports.text import escaped
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.regression import OpenRegression, RegressionKey

LABEL = "performance-regression"
_MOST = 500
_BEGIN, _END = "<!-- gaudi-perf: ", " -->"


class _Issue(msgspec.Struct):
    number: int
    body: str


class IssueTracker:
    """The issues of a repository, which ``gh`` finds by the working directory or by GH_REPO.

    Attributes:
        known: the regressions of open issues.
        problems: issues that have the label and cannot be understood, a sentence each.
    """

    def __init__(self) -> None:
        """Reads the open issues of regressions; UserError if ``gh`` cannot."""
        self.known: dict[RegressionKey, OpenRegression] = {}
        self.problems: list[str] = []
        self._numbers: dict[RegressionKey, int] = {}
        text = _gh("issue", "list", "--label", LABEL, "--state", "open", "--limit", str(_MOST), "--json", "number,body")
        for found in sorted(decode(text or "[]", list[_Issue], "gh issue list"), key=lambda one: one.number):
            try:
                one = _hidden(found)
            except UserError as error:
                self.problems.append(str(error))
                continue
            first = self._numbers.setdefault(one.key, found.number)
            if self.known.setdefault(one.key, one) is not one:
                self.problems.append(f"issue {found.number}: is of the same regression as {first}: close one")

    def update(self, found: Sequence[Notice], links: Mapping[str, str]) -> None:
        """Open, update and close issues; UserError if ``gh`` cannot."""
        if any(notice.kind == "opened" for notice in found):
            about = "A case is slower than its baseline"
            _gh("label", "create", LABEL, "--force", "--color", "b60205", "--description", about)
        for notice in found:
            body = f"{_hide(notice.regression)}\n{issue(notice, links)}"
            if notice.kind == "opened":
                words = ("--title", title(notice.regression), "--label", LABEL, "--body-file", "-")
                _gh("issue", "create", *words, given=body)
                continue
            number = str(self._numbers[notice.regression.key])
            if notice.over:
                _gh("issue", "close", number, "--comment", escaped(sentence(notice)))
            elif notice.kind == "open":
                _gh("issue", "edit", number, "--body-file", "-", given=body)


def _gh(*words: str, given: str = "") -> str:
    remedy = "install gh (cli.github.com), and give it a token that may write issues in GH_TOKEN"
    return run(["gh", *words], given, remedy=remedy)


def _hide(regression: OpenRegression) -> str:
    """What the next night must know, as a comment that the page does not show; it cannot end early."""
    return f"{_BEGIN}{msgspec.json.encode(regression).decode().replace('>', chr(92) + 'u003e')}{_END}"


def _hidden(found: _Issue) -> OpenRegression:
    first = found.body.partition("\n")[0].strip()
    if not (first.startswith(_BEGIN) and first.endswith(_END)):
        raise UserError(f"issue {found.number}: has the label {LABEL}, and no regression in its first line")
    return decode(first[len(_BEGIN) : -len(_END)], OpenRegression, f"issue {found.number}")
