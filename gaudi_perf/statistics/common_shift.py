"""Distinguishes a slow session from a slow case: what all cases of a session share is attributed to the session.

In one case a slow session and a regression look alike. In many they do not: a slow session shifts all cases by about
as much (a random effect across cases). So where nothing else shows the session's shift, a case's comparison is
corrected by that of the other cases. Only a slowdown of the others is subtracted, and a shift of all cases stays in
their own comparisons: the cases do not show whether the machine or a release causes it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from gaudi_perf.statistics.evidence import Evidence
from gaudi_perf.statistics.sample import robust_spread

K = TypeVar("K", bound=Hashable)

_FEWEST_OTHERS = 4
_UNLIKE = 0.25
"""Standard deviation between cases of what a slow session does to them, as a share of it: what is assumed at least."""


def another_machine(session: Collection[Evidence]) -> bool:
    """Whether the reference probes of most cases show another machine than that of the baseline.

    Those of a case that is measured later may not show it: few runs whose probes lie far apart by chance.
    """
    return 2 * sum(one.shift_doubt > 0 for one in session) > len(session)


def without_common_shift(session: Mapping[K, Evidence]) -> dict[K, Evidence]:
    """The evidence of each case less the shift that the session's other cases share.

    Of those cases alone for which a slow session is in question: nothing shows whether it was slow, or the reference
    probes show it and not how much of it reaches the rounds. Half of the other cases may have changed, too; how far
    they lie apart is how little is known of the shift.
    """
    known = {key: one.of_usual_session for key, one in session.items()}
    means = {key: one.mean for key, one in known.items()}
    found = {}
    for key, evidence in session.items():
        others = np.array([mean for other, mean in means.items() if other != key])
        if not evidence.session_in_question or others.size < _FEWEST_OTHERS:
            continue
        shift = float(np.median(others))
        unlike = _UNLIKE * max(abs(shift), abs(evidence.unusual_shift))
        apart = max(robust_spread(others - shift), unlike) * math.sqrt(1 + math.pi / 2 / others.size)
        own = known[key]
        corrected = replace(own, means=own.means - max(shift, 0.0), deviations=np.hypot(own.deviations, apart))
        found[key] = replace(evidence, posterior=corrected, normal=None, shift_doubt=0.0)
    return found
