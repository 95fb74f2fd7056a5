"""Makes pytest's side of the suite known; see ``fixtures/``."""

pytest_plugins = (
    "fixtures.options",
    "fixtures.matrix",
    "fixtures.session",
    "fixtures.summary",
    "fixtures.dataset",
    "fixtures.completions",
)
