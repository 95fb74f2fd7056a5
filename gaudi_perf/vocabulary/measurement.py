"""Moved to ``run``; kept until nothing imports it."""

from gaudi_perf.vocabulary.run import *  # noqa: F403
from gaudi_perf.vocabulary.run import TokenId as TokenId
from gaudi_perf.vocabulary.run import require_timestamp as require_timestamp
