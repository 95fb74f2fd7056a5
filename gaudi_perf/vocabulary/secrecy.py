"""Which environment variables may hold a secret: they stand in no command line, no log and no document."""

from __future__ import annotations

import re

SECRET_NAME = re.compile(r"TOKEN(?!IZERS)|SECRET|PASSWORD|CREDENTIAL|_KEY\b", re.IGNORECASE)
"""Found in the name of such a variable."""
