"""Files of a repository on the Hugging Face hub: safetensors and what describes them, nothing else."""

from __future__ import annotations

from pathlib import Path

from gaudi_perf.vocabulary.errors import UserError

_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json"]


def fetched(repository: str) -> Path:
    """The directory of a repository's files on this host; those that are not there yet are fetched.

    Raises:
        UserError: they cannot be.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=_WANTED))
    except Exception as error:  # of the hub's, of its HTTP client's, of the disk's
        told = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise UserError(
            f"--weights hub: {repository} cannot be fetched ({told}): is the hub reachable from this host, and has "
            "HF_HOME room for them? With HF_HUB_OFFLINE the files must be there already; --weights dummy needs none"
        ) from None
