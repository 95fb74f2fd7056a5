"""Nights, without a person: every script of the nightly workflow runs, in order, against pretended releases.

GitHub's side is pretended: jobs get a clone of a repository, artifacts are copied, ``gh`` keeps issues and pull
requests in a file, and ``tox`` writes the runs that a server would have measured.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nightly.install import MEASURING, requirements
from tests.cli.conftest import PROJECT

yaml = pytest.importorskip("yaml")
WORKFLOW = PROJECT / ".github/workflows/measured_nightly.yml"
ALWAYS = "${{ !cancelled() }}"
TOKEN = "ghp-of-this-job"
RELEASES = """
container = "registry.example.com/{synapse}/{os}/{pytorch}"
release = [
  { synapse = "1.23.0", released = "2026-01-08" },
  { synapse = "1.24.0", released = "2026-04", pytorch = "2.10.0", optimum_habana = ["1.21.0", "1.21.2"], \
os = "ubuntu24.04", runner = "synapse-1.24", since = "2026-11-23" },
]
"""
TOX = """#!/bin/sh
mkdir -p ".tox/$3/bin"
case " $* " in *" --notest "*) exec ln -sf "$(command -v gaudi-perf)" ".tox/$3/bin/gaudi-perf" ;; esac
echo page > report.html
exec python -m tests.injected.pretended_night "$GAUDI_PERF_RESULTS_DIR" baselines "$NIGHT"
"""
GAUDI_PERF = """#!/bin/sh
[ "$1" = doctor ] && exec test -z "$NO_DEVICE"
exec python -m tests.injected.without_measuring "$@"
"""
PYTEST = """#!/bin/sh
echo page > report.html
exec python -m tests.injected.pretended_night results baselines "$NIGHT" "$CANDIDATE" "$BASELINE"
"""
PYTHON = """#!/bin/sh
case "$1 $2" in
  "-m pip" | "nightly/install.py ") exit 0 ;;
  "-m venv") mkdir -p "$3" && exec ln -s "$PRETENDED" "$3/bin" ;;
esac
exec "$REAL_PYTHON" "$@"
"""


@dataclass
class Night:
    """What came of a night: the steps that failed, and what the jobs' summaries say."""

    failed: list[str]
    summary: str


class Nights:
    """A repository with its server, night by night."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self._releases = self._plan = ""
        self.jobs = yaml.load(WORKFLOW.read_text(), Loader=yaml.BaseLoader)["jobs"]
        self.top = yaml.load(WORKFLOW.read_text(), Loader=yaml.BaseLoader)["env"]
        (folder / "bin").mkdir()
        for name, text in (
            ("tox", TOX),
            ("gaudi-perf", GAUDI_PERF),
            ("python", PYTHON),
            ("python3", PYTHON),
            ("pytest", PYTEST),
            ("docker", '#!/bin/sh\necho "$@" >> "$PRETENDED/../docker"\n'),
            ("gh", f'#!/bin/sh\nexec "$REAL_PYTHON" {PROJECT}/tests/injected/pretended_gh.py "$@"\n'),
        ):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", "origin")
        self.git("clone", "--quiet", "origin", "person")
        (folder / "person/baselines").mkdir()
        (folder / "person/baselines/README").touch()
        (folder / "person/changes").mkdir()
        (folder / "person/changes/+other.added.md").write_text("A fragment of the changelog.")
        (folder / "person/releases.toml").write_text(RELEASES)
        self.push("Begin")

    def git(self, *words: str, at: str = ".") -> str:
        identity = ["-c", "user.name=p", "-c", "user.email=p@example.com"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=self.folder / at, check=True, capture_output=True, text=True
        )
        return done.stdout

    def push(self, subject: str) -> None:
        """A person commits and pushes."""
        self.git("add", "--all", at="person")
        self.git("commit", "--quiet", "--message", subject, at="person")
        self.git("push", "--quiet", "origin", "HEAD:main", at="person")

    def merge(self) -> None:
        """A person merges the pull request."""
        self.git("fetch", "--quiet", "origin", at="person")
        self.git("merge", "--quiet", "--ff-only", "origin/baselines/nightly", at="person")
        self.git("push", "--quiet", "origin", "HEAD:main", ":baselines/nightly", at="person")
        kept = self.github
        for one in kept["pulls"]:
            one["state"] = "closed"
        (self.folder / "gh.json").write_text(json.dumps(kept))

    @property
    def github(self) -> dict[str, Any]:
        """What the pretended GitHub holds."""
        path = self.folder / "gh.json"
        return json.loads(path.read_text()) if path.exists() else {"issues": [], "pulls": [], "workflows": []}

    def open(self, kind: str) -> list[dict[str, Any]]:
        """Open issues or pull requests."""
        return [one for one in self.github[kind] if one["state"] == "open"]

    def night(
        self,
        *,
        release: str = "1.24.0",
        killed: bool = False,
        device: bool = True,
        site: bool = False,
        before: Mapping[int, float] | None = None,
        **levels: float,
    ) -> Night:
        """Run the jobs of a night in order; ``one=1.0`` is the level with one device, ``eight`` that with eight.

        Side by side the older release is as fast, or takes ``before`` seconds by number of devices.
        """
        self.number += 1
        (self.folder / "summary.md").write_text("")
        shutil.rmtree(self.folder / "artifacts", ignore_errors=True)
        given = {"number": self.number, "release": release, "killed": killed, "before": before or {}}
        given["level"] = {{"one": 1, "eight": 8}[name]: level for name, level in levels.items()}
        environment = {"NIGHT": json.dumps(given), "NO_DEVICE": "" if device else "1"}
        context = {"inputs": {"releases": "releases.toml", "select": "bloomz7b", "runs": "5"}, "secrets": {}}
        context["inputs"] |= {"checks": "pull_request.yml", "webhook": "json", "device": "gaudi2"}
        context["github"] = {"server_url": "https://forge.example.com", "repository": "a/b", "run_id": str(self.number)}
        context["github"]["token"] = TOKEN
        releases = (self.folder / "person/releases.toml").read_text()
        failed: list[str] = []
        if releases != self._releases:  # else it would plan the same again
            failed = self._job("plan", context, environment)
            self._releases, self._plan = releases, (self.folder / "output").read_text()
        outputs = dict(line.split("=", 1) for line in self._plan.splitlines())
        context["needs"] = {"plan": {"outputs": outputs}}
        for one in json.loads(outputs["measure"]):
            if one["synapse"] == release:
                failed += self._job("measure", {**context, "matrix": {"release": one}}, environment)
        if outputs["candidate"]:
            failed += self._job("side-by-side", context, environment)
        for job in ("conclude", "site", "pages") if site else ("conclude",):
            failed += self._job(job, context, environment)
        return Night(failed, (self.folder / "summary.md").read_text())

    def _job(self, name: str, context: dict[str, Any], environment: dict[str, str]) -> list[str]:
        """The steps of a job that failed; ``output`` has what its steps hand on."""
        job = self.jobs[name]
        work = self.folder / f"{name}-{self.number}"
        self.git("clone", "--quiet", "origin", work.name)
        shutil.copytree(PROJECT / "tests", work / "tests", ignore=shutil.ignore_patterns("golden", "data"))
        self.git("config", "--local", "core.excludesFile", str(self.folder / "ignored"), at=work.name)
        (self.folder / "ignored").write_text("tests\n.tox\nmeasured\nlevels\n*.txt\n*.md\n")
        (self.folder / "output").write_text("")
        variables = {**self.top, **job.get("env", {})}
        failed: list[str] = []
        for step in job["steps"]:
            if failed and step.get("if") != ALWAYS:
                continue
            if "upload-pages-artifact" in step.get("uses", ""):
                shutil.rmtree(self.folder / "pages", ignore_errors=True)
                shutil.copytree(work / step["with"]["path"], self.folder / "pages")
            elif "upload-artifact" in step.get("uses", ""):
                to = self.folder / "artifacts" / _filled(step["with"]["name"], context)
                for path in step["with"]["path"].split():
                    if (work / path).is_dir() and any((work / path).iterdir()):
                        shutil.copytree(work / path, to / path)
            elif "download-artifact" in step.get("uses", ""):
                if (self.folder / "artifacts").exists():
                    shutil.copytree(self.folder / "artifacts", work / step["with"]["path"])
            elif "run" in step:
                own = {key: _filled(text, context) for key, text in {**variables, **step.get("env", {})}.items()}
                own |= {"GAUDI_PERF_RESULTS_DIR": str(self.folder / "history")} if name in ("measure", "site") else {}
                done = subprocess.run(
                    ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
                    cwd=work,
                    env={**self._runner(), **own, **environment},
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                assert TOKEN not in done.stdout + done.stderr
                assert "Traceback" not in done.stderr, done.stderr
                if done.returncode:
                    failed.append(step["name"])
                (self.folder / "log").open("a").write(f"{name}: {step['name']}\n{done.stdout}{done.stderr}\n")
        return failed

    def _runner(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "REAL_PYTHON": sys.executable,
            "PYTHONPATH": str(PROJECT),
            "PRETENDED": str(self.folder / "bin"),
            "PRETENDED_GH": str(self.folder / "gh.json"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_REF_NAME": "main",
            "GITHUB_REPOSITORY": "a/b",
            "GITHUB_REPOSITORY_OWNER": "a",
        }

    def baselines(self) -> str:
        """All of main's baselines."""
        return self.git("ls-tree", "-r", "main", "baselines", at="origin")


def _filled(text: str, context: dict[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = context
        for name in match.group(1).split("."):
            found = found.get(name, "")
        return str(found)

    return re.sub(r"\$\{\{ ([a-z_.-]+) \}\}", value, text)


def test_jobs_that_measure_nothing_leave_out_what_only_measuring_takes() -> None:
    left, all_lines = requirements(), (PROJECT / "pyproject.toml").read_text().splitlines()
    assert {"click", "msgspec", "rich", "scipy"} <= {re.split(r"[^\w-]", one)[0] for one in left}
    assert not [one for one in left if one.startswith(tuple(MEASURING))]
    assert all(any(line.startswith(f'    "{name}>=') for line in all_lines) for name in MEASURING)


@pytest.mark.slow
def test_nights(tmp_path: Path) -> None:
    nights = Nights(tmp_path)

    # The first night has nothing to compare with; a person merges what it proposes.
    first = nights.night(one=1.0, eight=0.5)
    assert first.failed == [], (tmp_path / "log").read_text()
    (proposed,) = nights.open("pulls")
    assert "new at" not in proposed["body"] and "changelog" not in proposed["body"]
    assert "| new; 5 runs of 1 session" in proposed["body"]
    assert nights.github["workflows"] == [["pull_request.yml", "baselines/nightly"]]  # so that checks run on it
    nights.merge()
    stored = nights.baselines()

    # Three equal nights change nothing and open nothing.
    for _ in range(3):
        equal = nights.night(one=1.0, eight=0.5)
        assert equal.failed == [] and "No level has changed." in equal.summary, (tmp_path / "log").read_text()
    assert nights.baselines() == stored
    assert nights.open("pulls") == [] and nights.github["issues"] == []

    # A slower one opens exactly one issue, and the next one updates it.
    slower = nights.night(one=1.0, eight=0.6)
    assert slower.failed == ["measure"] and nights.open("pulls") == []
    (issue,) = nights.open("issues")
    assert issue["title"] == "bloomz7b-8x-graphs-kvcache is slower on synapse-1.24.0 (gaudi2)"
    for part in ("20.0 % slower &#91;", "| slower since | 2026-12-05T02:00:00Z", "actions/runs/5#artifacts"):
        assert part in issue["body"], issue["body"]
    nights.night(one=1.0, eight=0.6)
    (issue,) = nights.github["issues"]
    assert issue["edits"] == 1 and "2026-12-05T02:00:00Z" in issue["body"] and "2026-12-06T02:00:00Z" in issue["body"]

    # A night without a device, and one that is killed, are red and change nothing of what is known.
    absent = nights.night(device=False, one=1.0, eight=0.5)
    assert absent.failed == ["is this machine fit to measure?", "what was measured tonight"]
    assert "Nothing was measured." in absent.summary
    killed = nights.night(killed=True, one=1.0, eight=0.5)
    assert killed.failed == ["measure"] and "No session came to its end" in killed.summary
    assert [one["edits"] for one in nights.open("issues")] == [1] and nights.open("pulls") == []

    # Recovery closes it.
    assert nights.night(site=True, one=1.0, eight=0.5).failed == []
    (issue,) = nights.github["issues"]
    assert issue["state"] == "closed" and issue["comment"].startswith("recovered: bloomz7b-8x-graphs-kvcache")
    assert nights.baselines() == stored

    # The site has all nights, those before this one's artifacts too.
    assert len(list((tmp_path / "pages/sessions").glob("*.html"))) == 8  # one was absent
    assert "https://a.github.io/b/sessions/20261209T" in (tmp_path / "pages/feed.xml").read_text()


@pytest.mark.slow
def test_one_pull_request(tmp_path: Path) -> None:
    """It is updated from night to night, and closed when nothing is left of it."""
    nights = Nights(tmp_path)
    nights.night(one=1.0, eight=0.5)
    nights.merge()

    nights.night(one=0.85, eight=0.5)
    nights.night(one=0.85, eight=0.4)
    (proposed,) = nights.open("pulls")
    assert proposed["edits"] == 1
    rows = [line for line in proposed["body"].splitlines() if line.startswith("| bloomz7b")]
    assert [row.split(" | ")[0] for row in rows] == ["| bloomz7b-1x-graphs-kvcache", "| bloomz7b-8x-graphs-kvcache"]
    assert "| -20.0 % | better; 20.0 % faster" in rows[1]
    nights.night(one=1.0, eight=0.5)
    assert nights.open("pulls") == []

    # A release is out: its line is all that is edited. What was proposed of another release stays proposed.
    nights.night(one=0.85, eight=0.5)
    file = tmp_path / "person/releases.toml"
    line = file.read_text().splitlines()[-2].replace("1.24", "1.25")
    file.write_text(file.read_text().replace("\n]\n", f"\n{line}\n]\n"))
    nights.push("SynapseAI 1.25.0")
    assert nights.night(release="1.25.0", one=1.0, eight=0.5).failed == [], (tmp_path / "log").read_text()
    (proposed,) = nights.open("pulls")
    assert "kept from an earlier night: `baselines/gaudi2/synapse-1.24.0.json`" in proposed["body"]
    nights.git("fetch", "--quiet", "origin", at="person")
    changed = nights.git("diff", "--name-only", "HEAD", "origin/baselines/nightly", at="person").split()
    assert changed == ["baselines/gaudi2/synapse-1.24.0.json", "baselines/gaudi2/synapse-1.25.0.json"]

    # The newest two are measured side by side from now on, each in an image of its own.
    images = (tmp_path / "docker").read_text().splitlines()
    assert [re.findall(r"--tag (\S+) --build-arg BASE=(\S+)", line)[0] for line in images] == [
        ("gaudi-perf:1.24.0", "registry.example.com/1.24.0/ubuntu24.04/2.10.0"),
        ("gaudi-perf:1.25.0", "registry.example.com/1.25.0/ubuntu24.04/2.10.0"),
    ]
    assert nights.github["issues"] == []
    slower = nights.night(release="1.25.0", before={8: 0.4}, one=1.0, eight=0.5)
    assert slower.failed == ["measure"]
    (issue,) = nights.open("issues")
    assert issue["title"] == "bloomz7b-8x-graphs-kvcache is slower on synapse-1.25.0 (gaudi2)"
    assert "25.0 % slower" in issue["body"] and "--baseline-stack synapse-1.24.0" in issue["body"], issue["body"]
    assert nights.night(release="1.25.0", one=1.0, eight=0.5).failed == []
    assert nights.open("issues") == []


SBATCH = """#!/bin/sh
# Runs a job at once: what it is given stands in the file of submissions.
echo "$@" >> "$SUBMITTED"
for word; do
  case "$word" in --export=ALL,*) export $(echo "${word#--export=ALL,}" | tr , ' ') ;; esac
done
case "$word" in *.sbatch) "$word" >&2 ;; "nightly/conclude "*) eval "$word" >&2 ;; esac
echo $(wc -l < "$SUBMITTED")
"""
DOCKER = """#!/bin/sh
for word; do
  case "$before" in --env) case "$word" in *=*) export "$word" ;; esac ;; esac
  before=$word
done
exec bash -euc "$word"
"""


def test_cron_and_slurm(tmp_path: Path) -> None:
    """A job for each release and one that waits for all of them; a regression is in the file of those that are open."""
    nights = Nights(tmp_path)
    for name, text in (("sbatch", SBATCH), ("docker", DOCKER)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    work = tmp_path / "person"
    shutil.copytree(PROJECT / "nightly", work / "nightly")
    shutil.copytree(PROJECT / "tests", work / "tests", ignore=shutil.ignore_patterns("golden", "data"))
    nights.push("The suite")

    def night(number: int, level: float) -> subprocess.CompletedProcess[str]:
        given = {"number": number, "release": "1.24.0", "level": {1: level}}
        variables = {"NIGHT": json.dumps(given), "GAUDI_PERF_RELEASES": "releases.toml", "NO_DEVICE": ""}
        variables |= {"SUBMITTED": str(tmp_path / "submitted"), "GAUDI_PERF_HISTORY": str(tmp_path / "history")}
        return subprocess.run(
            [work / "nightly/slurm"], env={**nights._runner(), **variables}, capture_output=True, text=True, timeout=120
        )

    assert "accepted 1 of 1 case" in (done := night(1, 1.0)).stderr, done
    first, last = (tmp_path / "submitted").read_text().splitlines()
    assert "--constraint=synapse-1.24" in first and "IMAGE=registry.example.com/1.24.0/ubuntu24.04/2.10.0" in first
    assert "--dependency=afterany:1" in last
    assert "| new; 5 runs of 1 session" in (work / "changes.md").read_text()
    nights.push("First baselines")
    night(2, 1.2)
    (known,) = json.loads((work / "open.json").read_text())["open"]
    assert known["case"] == "bloomz7b-1x-graphs-kvcache" and known["since"] == "2026-12-02T02:00:00Z"


def test_one_merge_request(tmp_path: Path) -> None:
    """GitLab opens it for a push, with the commit's message as its text, and closes it when its branch is gone."""
    night = yaml.load((PROJECT / "nightly/gitlab-night.yml").read_text(), Loader=yaml.BaseLoader)["conclude"]
    origin, work = tmp_path / "origin.git", tmp_path / "work"

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True, cwd=work).stdout

    def push(changes: str) -> list[str]:
        (work / "changes.md").write_text(changes)
        if changes:
            (work / "baselines/a.json").write_text(changes)
        variables = {**os.environ, "GAUDI_PERF_PUSH_URL": str(origin), "CI_DEFAULT_BRANCH": "main"}
        variables["BRANCH"] = night["variables"]["BRANCH"]
        subprocess.run(["bash", "-euc", night["script"][-1]], check=True, cwd=work, env=variables)
        git("checkout", "--quiet", "main")
        return git("ls-remote", "--heads", str(origin)).split()[1::2]

    (work / "baselines").mkdir(parents=True)
    (work / "baselines/a.json").write_text("{}\n")
    git("init", "--quiet", "--initial-branch=main")
    git("add", "baselines")
    git("commit", "--quiet", "-m", "The suite")
    subprocess.run(["git", "clone", "--quiet", "--bare", work, origin], check=True)
    subprocess.run(["git", "-C", origin, "config", "receive.advertisePushOptions", "true"], check=True)
    main, proposed = "refs/heads/main", "refs/heads/baselines/nightly"
    for level in ("| a | 0.9 s |", "| a | 0.8 s |"):
        assert push(level) == [proposed, main]
        git("fetch", "--quiet", str(origin), proposed)
        assert git("log", "-1", "--format=%s%n%b", "FETCH_HEAD").split("\n")[:2] == ["Refreshed baselines", level]
    assert push("") == [proposed, main], "a night that measured nothing says nothing"
    (work / "results/synapse-1.24.0/a").mkdir(parents=True)
    (work / "results/synapse-1.24.0/a/session.json").write_text("{}")
    assert push("") == [main], "nothing is left of it"
    assert push("") == [main], "a quiet night"
