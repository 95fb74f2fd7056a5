"""Where a session came from, by the variables of a CI."""

from __future__ import annotations

import pytest

from gaudi_perf.session.origin import origin_of
from gaudi_perf.vocabulary.verdict import Origin

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "owner/name",
    "GITHUB_SHA": "0123456789" * 4,
    "GITHUB_RUN_ID": "77",
    "GITHUB_REF": "refs/pull/12/merge",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.example/owner/name",
    "CI_COMMIT_SHA": "abc",
    "CI_JOB_URL": "https://gitlab.example/owner/name/-/jobs/5",
    "CI_MERGE_REQUEST_IID": "3",
}


def test_github() -> None:
    home = "https://github.com/owner/name"
    assert origin_of(GITHUB) == Origin(
        system="GitHub Actions",
        commit="0123456789" * 4,
        commit_url=f"{home}/commit/{'0123456789' * 4}",
        run_url=f"{home}/actions/runs/77",
        change="#12",
        change_url=f"{home}/pull/12",
    )
    nightly = origin_of({**GITHUB, "GITHUB_REF": "refs/heads/main"})
    assert nightly is not None and nightly.change == "" and nightly.change_url is None


def test_gitlab_and_jenkins() -> None:
    found = origin_of(GITLAB)
    assert found is not None and found.change == "!3"
    assert found.change_url == "https://gitlab.example/owner/name/-/merge_requests/3"
    jenkins = origin_of(
        {"JENKINS_URL": "https://ci.example/", "BUILD_URL": "https://ci.example/job/1/", "GIT_COMMIT": "a"}
    )
    assert jenkins == Origin(system="Jenkins", commit="a", run_url="https://ci.example/job/1/")


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "https://user:secret@ci.example/1", "https://ci.example/<script>", "", "x" * 9999],
)
def test_what_is_no_address_or_holds_a_secret_is_left_out(address: str) -> None:
    found = origin_of({"JENKINS_URL": "x", "BUILD_URL": address})
    assert found == Origin(system="Jenkins")


def test_outside_of_a_ci() -> None:
    assert origin_of({"HOME": "/root"}) is None
