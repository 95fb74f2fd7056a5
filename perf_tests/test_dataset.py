"""Every prompt of a dataset, completed in batches: the throughput against the stored baselines."""

from __future__ import annotations

import pytest

from gaudi_perf.pytest_plugin import CompleteDataset
from gaudi_perf.vocabulary.configuration import Case


def test_dataset(dataset_case: Case | None, complete_dataset: CompleteDataset) -> None:
    if dataset_case is None:
        pytest.skip("no dataset: name one of the hub or a file with --dataset")
    complete_dataset(dataset_case)
