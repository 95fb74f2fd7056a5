"""What the cases of a session share is the session's: a case that is slower than the others is slower by itself.

A slow session and a regression look alike in one case. In many they do not: a session shifts all cases by about as
much (a random effect across cases). So a case's comparison can be corrected by what the other cases show of the
session, where nothing else does. Only what the others are slower by is taken out, and a shift that all cases have is
left in their own comparisons: whether it is the machine's or a release's cannot be seen in the cases.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from gaudi_perf.statistics.evidence import Evidence
from gaudi_perf.statistics.sample import robust_spread

K = TypeVar("K", bound=Hashable)

_FEWEST_OTHERS = 4
_UNLIKE = 0.25
"""Standard deviation between cases of what a slow session does to them, as a share of it: what is assumed at least."""


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
