"""torch's entry point for backends, under the bridge's conditions: PT_HPU_AUTOLOAD, else not in lazy mode."""

import os

is_loaded = False


def is_autoload_enabled():
    from emulated_gaudi.settings import load

    wanted = os.getenv("PT_HPU_AUTOLOAD", "-1")
    if wanted in ("0", "1"):
        return wanted == "1"
    return os.getenv("PT_HPU_LAZY_MODE", "1" if load().lazy_by_default else "0") != "1"


def __autoload():
    if is_loaded or not is_autoload_enabled():
        return
    import habana_frameworks.torch
