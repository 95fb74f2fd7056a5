"""One of several ranks that hold a model together. Started by its keeper as ``python -m gaudi_perf.workers.rank.rank``.

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
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.processes import die_with_parent
from gaudi_perf.workers.rank.agent import MISTAKE_STATUS, PATIENCE, STARTED
from gaudi_perf.workers.rank.communication import Communication
from gaudi_perf.workers.rank.merging import merged
from gaudi_perf.workers.rank.worker import Send, Worker

Request = protocol.AnyRequest
_TELL_AFTER = 0.9
"""The share of a deadline after which a rank tells where it stands."""
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
        started = float(os.environ.get(STARTED, time.time()))
        # What the launcher took is counted from the beginning of the group, which only the controller knows.
        self._times = {"launcher": started, "interpreter": time.time() - started}
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

    def answer(self, request: Request) -> protocol.AnyReply:
        """The reply of this rank, at rank 0 that of all; a failure ends this rank.

        The others may wait for it in a collective for ever: its end tells the controller, which ends them.
        """
        if not isinstance(request, protocol.Load):  # for which it counts since this rank was started
            tell_before(request.patience_s)
        reply = self._worker.answer(request)
        if isinstance(reply, protocol.Failed):
            self._fail(reply)
        replies = self.communication.gather(msgspec.json.encode(reply))
        tell_before(None)
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
            if isinstance(request, _OF_RANK_0):
                self._send(self._answer_alone(request))
                continue
            self.communication.broadcast(line)
            if isinstance(request, protocol.Stop):
                return
            self._send(self.answer(request))

    def close(self) -> None:
        """Part from the other ranks."""
        self._worker.close()
        self.communication.close()

    def _answer_alone(self, request: Request) -> protocol.AnyReply:
        tell_before(request.patience_s)
        reply = self._worker.answer(request)
        if isinstance(reply, protocol.Failed):
            self._fail(reply)
        tell_before(None)
        return reply

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
        os._exit(MISTAKE_STATUS if failed.mistake else 1)  # no destructor of a group may wait for the others


def tell_before(deadline_s: float | None) -> None:
    """Have this rank write where it stands shortly before a deadline; it needs nobody who asks, nor the interpreter.

    Args:
        deadline_s: seconds from now; None for none.
    """
    signal.setitimer(signal.ITIMER_REAL, 0.0 if deadline_s is None else _TELL_AFTER * deadline_s)


def main() -> None:
    """Lead or follow until the controller says Stop."""
    parser = argparse.ArgumentParser(description="A rank of gaudi-perf; started by its keeper, not by hand.")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--meeting", required=True)
    parser.add_argument("--parent", required=True, type=int)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    # A silent group is asked where it stands; on other hosts than the controller's, by a timer.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    faulthandler.register(signal.SIGALRM, all_threads=False)
    tell_before(float(os.environ[PATIENCE]) if PATIENCE in os.environ else None)
    try:
        _serve(arguments)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # no destructor of a group may wait for the others


def _serve(arguments: argparse.Namespace) -> None:
    if os.environ["RANK"] == "0":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(arguments.socket)
            listener = _received(connection) if arguments.meeting.startswith("tcp:") else None
            with connection.makefile("rwb") as stream:

                def send(reply: protocol.AnyReply) -> None:
                    stream.write(encode_line(reply))
                    stream.flush()

                send(protocol.Hello(pid=os.getpid()))
                rank = _made(arguments, send, listener)
                rank.lead(stream.readline)
    else:
        rank = _made(arguments, lambda reply: None)
        rank.follow()
    rank.close()


def _received(connection: socket.socket) -> socket.socket:
    """The socket at whose address the ranks meet, which the controller has bound and gives away first of all."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    return socket.socket(fileno=descriptors[0])


def _made(arguments: argparse.Namespace, send: Send, listener: socket.socket | None = None) -> Rank:
    try:
        return Rank(arguments.engine, arguments.meeting, send, listener)
    except UserError as error:
        print(error, flush=True)
        sys.exit(MISTAKE_STATUS)


if __name__ == "__main__":
    main()
