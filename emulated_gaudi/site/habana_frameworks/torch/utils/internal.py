"""is_lazy() and lazy_only(), as the bridge's; the default of PT_HPU_LAZY_MODE is that of the pretended release."""

import logging

from habana_frameworks.torch._device import is_lazy

logger = logging.getLogger(__name__)


def lazy_only(func):
    def lazy_wrapper(*args, **kwargs):
        func(*args, **kwargs)

    def non_lazy_wrapper(*args, **kwargs):
        pass

    if is_lazy():
        return lazy_wrapper
    logger.warning(
        f"Calling {func.__name__} function does not have any effect. It's lazy mode only functionality."
        " (warning logged once)"
    )
    return non_lazy_wrapper
