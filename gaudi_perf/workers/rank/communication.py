"""What ranks say to each other: documents as byte tensors, over groups of torch.distributed.

The accelerator's group (gloo, hccl, nccl) carries the model's tensors, one of gloo requests, replies and barriers. One
reply is made of all ranks' by ``merging.py``.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

import psutil
import torch
import torch.distributed as dist

from gaudi_perf.vocabulary.errors import UserError

_TIMEOUT = timedelta(days=2)  # longer than any session: deadlines are the controller's


class Communication:
    """The groups of this rank; setting them up blocks until all ranks are there.

    They meet at ``file://PATH`` (all on one host; no port is opened but gloo's on the loopback interface), or at
    ``tcp://ADDRESS:PORT`` of rank 0's host, where ``listener`` is the socket that is bound to that address.
    """

    def __init__(self, backend: str, meeting: str, listener: socket.socket | None = None) -> None:
        self.rank = int(os.environ["RANK"])
        self.ranks = int(os.environ["WORLD_SIZE"])
        self.backend = backend
        place = urlsplit(meeting)
        if place.scheme == "file":
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
            os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")  # by which ranks find each other; data go another way
        elif "GLOO_SOCKET_IFNAME" not in os.environ:
            os.environ["GLOO_SOCKET_IFNAME"] = _interface_towards(str(place.hostname))
        self._listener = listener  # kept open for as long as the store
        store = _store(place, self.rank, self.ranks, listener)
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.ranks, timeout=_TIMEOUT)
        self._control = dist.new_group(backend="gloo", timeout=_TIMEOUT)

    def settings(self) -> dict[str, str]:
        """How collectives are set up, as a stack's settings."""
        return {
            "world-size": str(self.ranks),
            "backend": self.backend,
            "in-order-collectives": "true",  # one group, one stream: DeepSpeed's layers wait for each
            "collectives-timeout": "none",
        }

    def broadcast(self, document: bytes | None) -> bytes:
        """The document that rank 0 has, at every rank."""
        length = _number(len(document or b""))
        dist.broadcast(length, 0, group=self._control)
        content = _tensor(bytes(int(length)) if document is None else document)
        dist.broadcast(content, 0, group=self._control)
        return bytes(content.numpy().tobytes())

    def gather(self, document: bytes) -> list[bytes]:
        """At rank 0, what every rank has, in order; at others nothing."""
        lengths = [_number(0) for _ in range(self.ranks)]
        dist.all_gather(lengths, _number(len(document)), group=self._control)
        longest = int(max(lengths))
        contents = [_tensor(bytes(longest)) for _ in range(self.ranks)] if self.rank == 0 else None
        dist.gather(_tensor(document.ljust(longest, b"\0")), contents, 0, group=self._control)
        found = zip(contents or [], lengths, strict=False)
        return [bytes(content.numpy().tobytes())[: int(length)] for content, length in found]

    def barrier(self) -> None:
        """Wait for all ranks."""
        dist.barrier(group=self._control)

    def close(self) -> None:
        """Leave the groups."""
        dist.destroy_process_group()


def _tensor(document: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(document or b"\0"), dtype=torch.uint8)[: len(document)]


def _number(value: int) -> torch.Tensor:
    return torch.tensor([value])


def _interface_towards(address: str) -> str:
    """The network interface by which this host reaches an address; gloo would take that of the host's own name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # sends nothing
        own = probe.getsockname()[0]
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == own for each in addresses):
            return name
    raise UserError(f"no network interface of this host has the address {own}: set GLOO_SOCKET_IFNAME")


def _store(place: SplitResult, rank: int, ranks: int, listener: socket.socket | None) -> dist.Store:
    if place.scheme == "file":
        return dist.FileStore(place.path, ranks)
    assert place.hostname is not None and place.port is not None, place
    timeout = timedelta(minutes=10)
    if rank != 0:
        return dist.TCPStore(place.hostname, place.port, ranks, is_master=False, timeout=timeout)
    assert listener is not None, place
    # torch itself would listen on every interface of this host; so it is given a socket that listens on this address.
    given = {"wait_for_workers": False, "master_listen_fd": listener.fileno()}
    return dist.TCPStore(place.hostname, place.port, ranks, is_master=True, timeout=timeout, **given)
