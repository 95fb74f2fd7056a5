from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.pytest_plugin import options
from gaudi_perf.pytest_plugin.options import Given, settings_of
from gaudi_perf.session import values


class Config:
    """What the options need of pytest's, with these given on the command line."""

    def __init__(self, root: Path, **given: str) -> None:
        self.rootpath, self.stash = root, pytest.Stash()
        self._given = {f"--{name.replace('_', '-')}": text for name, text in given.items()}

    def getoption(self, flag: str) -> str | None:
        return self._given.get(flag)

    def addinivalue_line(self, *_: str) -> None:
        pass


def config(root: Path, **given: str) -> Any:
    return Config(root, **given)


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in options.all_options():
        monkeypatch.delenv(option.variable, raising=False)


def test_an_address_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(values, "opened", lambda address: (opened.append(address), tmp_path)[1])
    given = config(tmp_path, results_dir="s3://bucket/results")
    options.pytest_configure(given)
    assert settings_of(given).results_directory == tmp_path
    assert opened == ["s3://bucket/results"]


def test_where_nothing_is_given_nothing_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(tmp_path)
    options.pytest_configure(given)
    assert options.SETTINGS_KEY not in given.stash
    monkeypatch.setenv("GAUDI_PERF_RUNS", "3")
    options.pytest_configure(given)
    assert given.stash[options.SETTINGS_KEY].runs == 3


def test_the_option_goes_before_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAUDI_PERF_RUNS", "3")
    monkeypatch.setenv("GAUDI_PERF_ROUNDS", "")
    assert Given(config(tmp_path, runs="5")) == {"--runs": 5}
    assert Given(config(tmp_path)) == {"--runs": 3}


@pytest.mark.parametrize(("given", "by"), [({"runs": "x"}, "--runs"), ({}, "GAUDI_PERF_RUNS")])
def test_what_makes_no_sense_is_called_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], by: str
) -> None:
    monkeypatch.setenv("GAUDI_PERF_RUNS", "x")
    with pytest.raises(pytest.UsageError, match=f"^{by} is 'x': it takes a whole number from 1, or auto"):
        options.pytest_configure(config(tmp_path, **given))
