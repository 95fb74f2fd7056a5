from __future__ import annotations

import pytest

from gaudi_perf.vocabulary.regression import OpenRegression, OpenRegressions


def regression(case: str = "bloomz7b-1x-graphs-kvcache") -> OpenRegression:
    return OpenRegression(
        device="gaudi2",
        case=case,
        stack="synapse-1.24.0",
        metric="latency",
        baseline="gaudi2/synapse-1.23.0",
        ratio=1.1,
        since="2026-11-23T06:00:00Z",
        session_id="s1",
    )


def test_a_regression_is_kept_once() -> None:
    assert len(OpenRegressions(open=[regression(), regression("bloomz7b-1x-eager-kvcache")]).open) == 2
    with pytest.raises(ValueError, match=r"graphs-kvcache synapse-1\.24\.0 is there twice"):
        OpenRegressions(open=[regression(), regression()])
