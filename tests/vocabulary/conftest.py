from __future__ import annotations

from hypothesis import settings

# Machines of contributors and CI are of any speed: no test depends on absolute times.
settings.register_profile("documents", deadline=None)
settings.load_profile("documents")
