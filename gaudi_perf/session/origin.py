"""Reads from a CI's variables where a session came from.

GitHub: docs.github.com, "Variables reference". GitLab: docs.gitlab.com, "Predefined CI/CD variables reference".
Jenkins: "Using environment variables" and those of the Git and Branch API plugins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gaudi_perf.vocabulary.documents import fits
from gaudi_perf.vocabulary.verdict import Address, Origin

_PULL = re.compile(r"refs/pull/([0-9]+)/")


def origin_of(variables: Mapping[str, str]) -> Origin | None:
    """The commit, run and pull request of the CI that these variables are of; None outside of a CI that is known.

    Addresses that are none, or that hold a user's name or password, are left out.
    """
    get = variables.get
    if get("GITHUB_ACTIONS"):
        project = f"{get('GITHUB_SERVER_URL', 'https://github.com')}/{get('GITHUB_REPOSITORY', '')}"
        pull = _PULL.match(get("GITHUB_REF", ""))
        commit, run = get("GITHUB_SHA", ""), get("GITHUB_RUN_ID", "")
        return Origin(
            system="GitHub Actions",
            commit=commit[:40],
            commit_url=_address(f"{project}/commit/{commit}" if commit else ""),
            run_url=_address(f"{project}/actions/runs/{run}" if run else ""),
            change=f"#{pull[1]}" if pull else "",
            change_url=_address(f"{project}/pull/{pull[1]}" if pull else ""),
        )
    if get("GITLAB_CI"):
        project, request = get("CI_PROJECT_URL", ""), get("CI_MERGE_REQUEST_IID", "")
        commit, home = get("CI_COMMIT_SHA", ""), get("CI_MERGE_REQUEST_PROJECT_URL") or project
        return Origin(
            system="GitLab CI",
            commit=commit[:40],
            commit_url=_address(f"{project}/-/commit/{commit}" if commit else ""),
            run_url=_address(get("CI_JOB_URL") or get("CI_PIPELINE_URL", "")),
            change=f"!{request[:20]}" if request else "",
            change_url=_address(f"{home}/-/merge_requests/{request}" if request else ""),
        )
    if get("JENKINS_URL"):
        change = get("CHANGE_ID", "")
        return Origin(
            system="Jenkins",
            commit=get("GIT_COMMIT", "")[:40],
            run_url=_address(get("BUILD_URL", "")),
            change=f"#{change[:20]}" if change else "",
            change_url=_address(get("CHANGE_URL", "")),
        )
    return None


def _address(text: str) -> str | None:
    return text if fits(text, Address) else None
