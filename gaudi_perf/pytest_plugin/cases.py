"""``@pytest.mark.perf``: which cases a test is parametrized with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import msgspec
import pytest

from gaudi_perf.pytest_plugin.options import settings_of
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.documents import PositiveInt
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import Workload

_FORM = (
    "@pytest.mark.perf takes model, devices, graphs, kv_cache and workload, each a value or a list: "
    'perf(model="llama3.1-8b", devices=[1, 8], graphs=True, kv_cache=True, workload=Workload(batch_size=4))'
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    form = "perf(model, devices=1, graphs=True, kv_cache=True, workload=Workload())"
    config.addinivalue_line("markers", f"{form}: the cases of a test: each value, or each of a list (gaudi-perf)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test with the marker every ``case`` that it asks for."""
    marker = metafunc.definition.get_closest_marker("perf")
    if marker is None or "case" not in metafunc.fixturenames:
        return
    with mistakes_in_a_sentence():
        cases = cases_asked_for(metafunc.config, marker)
    metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@contextlib.contextmanager
def mistakes_in_a_sentence() -> Iterator[None]:
    """While tests are collected: a ``UserError`` is shown without a traceback."""
    try:
        yield
    except UserError as error:
        from gaudi_perf.reports.text import harmless

        raise pytest.fail.Exception(harmless(str(error)), pytrace=False) from None


class _Marker(msgspec.Struct, forbid_unknown_fields=True):
    model: tuple[str, ...] = ()
    devices: tuple[PositiveInt, ...] = (1,)
    graphs: tuple[bool, ...] = (True,)
    kv_cache: tuple[bool, ...] = (True,)
    compiled: tuple[bool, ...] = (False,)
    workload: tuple[Workload, ...] = ()


def cases_asked_for(config: pytest.Config, marker: pytest.Mark) -> list[Case]:
    """The cases of a marker, those of a model and a number of devices one after the other.
    Raises UserError if it names something else, or a value makes no sense.
    """
    settings = settings_of(config)
    try:
        asked = msgspec.convert({name: _listed(value) for name, value in marker.kwargs.items()}, _Marker)
    except msgspec.ValidationError:
        raise UserError(_FORM) from None
    if marker.args:
        raise UserError(_FORM)
    models = [settings.catalogue.model(name, "perf: model") for name in asked.model] or settings.matrix
    configurations = [
        Configuration(
            model=model.name, devices=devices, graphs=graphs and not compiled, kv_cache=kv_cache, compiled=compiled
        )
        for model, devices, graphs, kv_cache, compiled in product(
            models, asked.devices, asked.graphs, asked.kv_cache, asked.compiled
        )
    ]
    if not asked.workload:
        return settings.cases(configurations)
    return [settings.case(configuration, one) for configuration in configurations for one in asked.workload]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
