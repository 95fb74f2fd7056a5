"""Files of a repository on the Hugging Face hub: safetensors and what describes them, nothing else.

Of several ranks the first one of each host fetches them, and the others find them there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.documents import sentence
from gaudi_perf.vocabulary.errors import UserError

# What a model and a tokenizer are read from. Beside them repositories hold other formats, evaluations and logs.
_WANTED = [
    *("*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
]
_REMEDY = (
    "is the hub reachable from this host, and has HF_HOME room for them? With HF_HUB_OFFLINE the files must be there "
    "already; --weights dummy needs none"
)


def fetched_once_per_host(group: GroupSpec, meet: Callable[[], None], progress: Callable[[str], None]) -> GroupSpec:
    """The group with the directory that has its files on this host; a group whose weights are not the hub's as it is.

    Every rank calls it; ``meet`` waits for all. Only the first of each host speaks to the hub, and only of files that
    its cache lacks.
    Raises UserError if the hub cannot be reached, and the cache has not everything.
    """
    if group.weights.kind != "hub":
        return group
    if os.environ["LOCAL_RANK"] == "0":
        progress(f"fetching {group.repository}")
        fetched(group.repository)
    meet()
    return replace(group, weights=replace(group.weights, path=str(fetched(group.repository, only_cached=True))))


def fetched(repository: str, *, only_cached: bool = False) -> Path:
    """The directory of a repository's files on this host; those that are not there yet are fetched.
    Raises UserError if they cannot be, or are not there and the hub is not to be asked (``only_cached``).
    """
    from huggingface_hub import snapshot_download

    try:
        directory = Path(
            snapshot_download(repository, allow_patterns=_WANTED, ignore_patterns=["*/*"], local_files_only=only_cached)
        )
    except Exception as error:  # of the hub's, of its HTTP client's, of the disk's
        raise UserError(f"--weights hub: {repository} cannot be fetched ({sentence(error)}): {_REMEDY}") from None
    # Where the hub cannot be reached, its library gives what is there, be it nothing but a configuration.
    for kind in ("config.json", "*.safetensors"):
        if not any(path.is_file() for path in directory.glob(kind)):
            raise UserError(f"--weights hub: there is no {kind} of {repository} in {directory}: {_REMEDY}")
    return directory
