"""``gaudi-perf notify``: people are notified of a regression once, and again when it is over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import msgspec

from gaudi_perf.cli import common
from gaudi_perf.cli.report import judged, newest_session
from gaudi_perf.judging.regressions import Finding, Notice, notices, still_open
from gaudi_perf.notifying import mail
from gaudi_perf.notifying.issues import IssueTracker
from gaudi_perf.notifying.webhook import VARIABLE, checked, post
from gaudi_perf.reports.notices import document, plain, sentence, slack
from gaudi_perf.reports.text import harmless
from gaudi_perf.session import values
from gaudi_perf.stores.files import read_bytes, write_atomic
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.errors import UserError, noted
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.regression import OpenRegression, OpenRegressions, RegressionKey

_STYLES = {"opened": "red", "open": "red", "undecided": "yellow"}


@click.command(cls=common.Command)
@click.argument("sessions", nargs=-1, required=True, type=common.PATH)
@click.option("--github", is_flag=True, help="Keep an issue for each regression, by gh.")
@click.option(
    "--webhook",
    type=click.Choice(["slack", "json"]),
    help="Post regressions that began or ended to the address in GAUDI_PERF_WEBHOOK_URL.",
)
@click.option("--mail", "recipients", multiple=True, metavar="ADDRESS", help="Send it by sendmail; may be repeated.")
@click.option("--mail-from", "sender", metavar="ADDRESS", default="", help="Who sends it; default: the system's.")
@common.path_option(
    "--state", help="Where open regressions are kept from night to night; with --github the open issues are."
)
@click.option("--link", "links", multiple=True, metavar="NAME=URL", help="A link to add; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@common.json_option
@common.results_option
def notify(
    sessions: Sequence[Path],
    github: bool,
    webhook: str | None,
    recipients: Sequence[str],
    sender: str,
    state: Path | None,
    links: Sequence[str],
    dry_run: bool,
    as_json: bool,
    results_dir: Path,
) -> None:
    """Notify people of each regression once, and again when it has recovered or was accepted.

    SESSIONS are directories of sessions, or results directories, of which the newest session counts. A regression is
    identified by device, case and stack. Issues are updated every night; a webhook and e-mail get only what began and
    what ended. The runs under the results directory, if there are any, show since when a case is slower. The regression
    of a case that was not judged stays as it is. Exit status 1 while a regression is open.

    Examples:
      gaudi-perf notify results --state open.json --mail perf@example.com
      gaudi-perf notify results --github --webhook slack --link "run=$RUN_URL"
      gaudi-perf notify results --github --dry-run
    """
    named = dict(map(_link, links))
    if not (github or state or dry_run):
        raise UserError("notify: name a file that keeps open regressions from night to night: --state open.json")
    if state is not None:  # before anything is sent, or it is sent again every night
        common.value_of(values.new_file, str(state), "--state")
    address = checked(os.environ.get(VARIABLE, "")) if webhook and not dry_run else ""
    for one in (*recipients, *([sender] if sender else [])):
        mail.checked(one)
    tracker, known = _known(github, state)
    past = read_history(results_dir).runs if results_dir.is_dir() else ()
    found = notices(known, [finding for path in sessions for finding in _findings(path)], past)
    left = still_open(known, found)
    if as_json:
        common.echo_json(document(found, len(left), named))
    else:
        for notice in found:
            common.echo(sentence(notice), _STYLES.get(notice.kind, "green"))
        common.echo(f"{counted(len(left), 'regression')} open")
    news = [notice for notice in found if notice.news]
    failures: list[str] = []  # one way that fails does not keep the others from being used
    if not dry_run:
        with noted(failures):
            if tracker is not None:
                tracker(found, named)
        with noted(failures):
            if news and webhook:
                said = slack(news, named) if webhook == "slack" else document(news, len(left), named)
                post(address, msgspec.json.encode(said))
        with noted(failures):
            if news and recipients:
                mail.send(recipients, sender, _subject(news), plain(news, named))
    if failures:
        raise UserError("; ".join(failures))
    if state is not None and not dry_run:
        write_atomic(state, encode(OpenRegressions(open=[left[key] for key in sorted(left)])))
    if left:
        raise click.exceptions.Exit(1)


def _known(
    github: bool, state: Path | None
) -> tuple[Callable[[Sequence[Notice], Mapping[str, str]], None] | None, Mapping[RegressionKey, OpenRegression]]:
    """What updates the tracker of issues, if there is one, and the regressions that are open."""
    if github:
        tracker = IssueTracker()
        common.left_out(tracker.problems)
        return tracker.update, tracker.known
    if state is None or not state.exists():
        return None, {}
    return None, {one.key: one for one in decode(read_bytes(state), OpenRegressions, str(state)).open}


def _findings(path: Path) -> list[Finding]:
    """What a session found of each case that it judged."""
    if not path.is_dir():
        raise UserError(f"{path}: there is no such directory: name that of a session, or a results directory")
    whole, above = path.resolve(), ResultsStore(path.resolve().parent)
    read = above.read_session(whole.name) if above.has_document(whole.name) else newest_session(ResultsStore(path))
    session, runs = judged(read, str(path))
    return [Finding(report, runs[report.case.id][-1]) for report in session.cases if report.verdicts]


def _subject(news: Sequence[Notice]) -> str:
    if len(news) == 1:
        return f"gaudi-perf: {sentence(news[0])}"
    began = sum(notice.kind == "opened" for notice in news)
    return f"gaudi-perf: {counted(began, 'new regression')}, {len(news) - began} over"


def _link(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not (name and equals and address.startswith(("https://", "http://")) and address.isprintable()):
        raise UserError(f'--link {harmless(text)}: write a name and an address, as "run=https://..."')
    return name, address.replace(" ", "%20").replace(">", "%3E").replace("<", "%3C")
