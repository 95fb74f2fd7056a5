"""One of several ranks that hold a model together. Started as ``python -m gaudi_perf.workers.rank.rank``.

Rank 0 is connected to the controller and speaks the protocol; it passes every request on, and answers for all.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

import msgspec

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.generation.hub import fetched_once_per_host
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.rank.communication import Communication
from gaudi_perf.workers.rank.merging import merged
from gaudi_perf.workers.rank.parent_death import die_with_parent
from gaudi_perf.workers.rank.worker import Send, Worker, sender

Request = protocol.AnyRequest
_STACK_AFTER = 0.9
"""The share of a deadline after which a rank writes its stack."""
_OF_RANK_0 = (protocol.OpenDataset, protocol.ReadPrompts)
"""Only rank 0 reads datasets: a batch holds its token ids."""


class Rank:
    """Answers requests together with the other ranks."""

    def __init__(self, engine: str, meeting: str, send: Send, listener: socket.socket | None = None) -> None:
        """Import what the engine needs, and meet the other ranks.

        Args:
            engine: the name of the accelerator.
            meeting: see ``Communication``.
            listener: see ``Communication``.
            send: sends a reply to the controller; at ranks other than 0 it may do nothing.
        """
        started = float(os.environ.get(protocol.STARTED, time.time()))
        # What it took to start this is counted from the beginning of the group, which only the controller knows.
        self._times = {"launch": started, "interpreter": time.time() - started}
        begin = time.monotonic()
        send(protocol.Progress(text="importing"))
        accelerator = accelerator_named(engine)
        made = accelerator.engine()
        made.import_for_ranks()
        self._times["imports"] = time.monotonic() - begin
        begin = time.monotonic()
        self.communication = Communication(accelerator.backend, meeting, listener)
        self._times["communication"] = time.monotonic() - begin
        self._send = send
        self._worker = Worker(send, align=self.communication.barrier, engine=made, fetch=self._fetched)

    def answer(self, request: Request, alone: bool = False) -> protocol.AnyReply:
        """The reply of this rank, at rank 0 that of all; a failure ends this rank.

        The others may wait for it in a collective for ever: the controller notices its end, and ends them.

        Args:
            request: what the controller asks.
            alone: whether rank 0 answers without the others.
        """
        if not isinstance(request, protocol.Load):  # for which it counts since this rank was started
            write_stack_before(request.patience_s)
        reply = self._worker.answer(request)
        if isinstance(reply, protocol.Failed):
            self._fail(reply)
        replies = [] if alone else self.communication.gather(msgspec.json.encode(reply))
        write_stack_before(None)
        if not replies:
            return reply
        decoder = msgspec.json.Decoder(protocol.AnyReply)
        together = merged([decoder.decode(each) for each in replies])
        if isinstance(together, protocol.Loaded):
            return self._loaded(together)
        return together

    def follow(self) -> None:
        """At ranks other than 0: answer what rank 0 passes on."""
        decoder = msgspec.json.Decoder(protocol.AnyRequest)
        while not isinstance(request := decoder.decode(self.communication.broadcast(None)), protocol.Stop):
            self.answer(request)

    def lead(self, requests: Callable[[], bytes]) -> None:
        """At rank 0: pass on and answer what the controller asks.

        Args:
            requests: the next line, empty at the end.
        """
        decoder = msgspec.json.Decoder(protocol.AnyRequest)
        while line := requests():
            request = decoder.decode(line)
            alone = isinstance(request, _OF_RANK_0)
            if not alone:
                self.communication.broadcast(line)
            if isinstance(request, protocol.Stop):
                return
            self._send(self.answer(request, alone))

    def close(self) -> None:
        """Part from the other ranks."""
        self._worker.close()
        self.communication.close()

    def _fetched(self, group: protocol.GroupSpec, progress: Callable[[str], None]) -> protocol.GroupSpec:
        return fetched_once_per_host(group, self.communication.barrier, progress)

    def _loaded(self, loaded: protocol.Loaded) -> protocol.Loaded:
        settings = {**loaded.stack.settings, **self.communication.settings()}
        stack = msgspec.structs.replace(loaded.stack, settings=settings)
        return msgspec.structs.replace(loaded, stack=stack, phases_s=self._times)

    def _fail(self, failed: protocol.Failed) -> NoReturn:
        if self.communication.rank == 0:
            self._send(failed)
        print(failed.message, flush=True)
        os._exit(protocol.MISTAKE_STATUS if failed.mistake else 1)  # no destructor of a group may wait for the others


def write_stack_before(deadline_s: float | None) -> None:
    """Have this rank write its stack shortly before a deadline; it needs nobody who asks, nor the interpreter.

    Args:
        deadline_s: seconds from now; None for none.
    """
    signal.setitimer(signal.ITIMER_REAL, 0.0 if deadline_s is None else _STACK_AFTER * deadline_s)


def main() -> None:
    """Lead or follow until the controller says Stop."""
    parser = argparse.ArgumentParser(description="A rank of gaudi-perf; started by the suite, not by hand.")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--meeting", required=True)
    parser.add_argument("--parent", required=True, type=int)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    # A silent group is asked where it stands; on other hosts than the controller's, by a timer.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    faulthandler.register(signal.SIGALRM, all_threads=False)
    patience = os.environ.get(protocol.PATIENCE)
    write_stack_before(float(patience) if patience else None)
    try:
        _serve(arguments)
    except UserError as error:
        print(error, flush=True)
        os._exit(protocol.MISTAKE_STATUS)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # no destructor of a group may wait for the others


def _serve(arguments: argparse.Namespace) -> None:
    _require_what_it_needs(arguments.engine, arguments.socket)
    if os.environ["RANK"] != "0":
        rank = Rank(arguments.engine, arguments.meeting, lambda reply: None)
        rank.follow()
        return rank.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(arguments.socket)
        listener = _received(connection) if arguments.meeting.startswith("tcp:") else None
        with connection.makefile("rwb") as stream:
            send = sender(stream)
            send(protocol.Hello(pid=os.getpid()))
            rank = Rank(arguments.engine, arguments.meeting, send, listener)
            rank.lead(stream.readline)
    rank.close()


def _require_what_it_needs(engine: str, path: str) -> None:
    """Make sure that the controller is on the host of rank 0, and that this host has devices for its ranks.

    Raises:
        UserError: it is not, or has too few.
    """
    host = os.uname().nodename
    if os.environ["RANK"] == "0" and not os.path.exists(path):
        raise UserError(
            f"rank 0 was started on {host}, where the socket of pytest is not: run pytest on the first host of "
            "--hostfile"
        )
    ranks = int(os.environ["LOCAL_SIZE"])
    if os.environ["LOCAL_RANK"] == "0":
        found = accelerator_named(engine, processes=ranks).find()
        count = found.count if found is not None else 0
        if count < ranks:
            raise UserError(
                f"host {host} has {count} {engine} devices, and is asked for {ranks}: mend its slots in --hostfile, or "
                "see gaudi-perf doctor there"
            )


def _received(connection: socket.socket) -> socket.socket:
    """The socket at whose address the ranks meet, which the controller has bound and gives away first of all."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    return socket.socket(fileno=descriptors[0])


if __name__ == "__main__":
    main()
