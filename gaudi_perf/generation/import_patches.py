"""A quicker start of workers: what transformers need not import for them."""

from __future__ import annotations


def leave_out_scikit_learn() -> None:
    """Have transformers, which must not have imported its models yet, go without scikit-learn.

    It uses scikit-learn in assisted generation alone, and imports it for every model: 1.5 of the 6.3 s of processor
    time that imports take, in every rank. There is no setting for it; a release that does not look here is slower.
    """
    from transformers.utils import import_utils

    import_utils._sklearn_available = False
