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

import msgspec

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.generation.hub import fetched_once_per_host
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.rank.merging import merged
from gaudi_perf.workers.rank.parent_death import die_with_parent
from gaudi_perf.workers.rank.worker import Send, Worker, serve

_STACK_AFTER = 0.9
"""The share of a deadline after which a rank writes its stack."""
_OF_RANK_0 = (protocol.OpenDataset, protocol.ReadPrompts)
"""Only rank 0 reads datasets: a batch holds its token ids."""


class Rank(Worker):
    """Answers requests together with the other ranks, which it meets when it has imported what the engine needs.

    A failure ends this rank. The others may wait for it in a collective for ever: the controller notices its end, and
    ends them. ``meeting`` and ``listener`` are those of ``Communication``.
    """

    def __init__(self, engine: str, meeting: str, send: Send, listener: socket.socket | None = None) -> None:
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
        from gaudi_perf.workers.rank.communication import Communication  # with torch

        self.communication = Communication(accelerator.backend, meeting, listener)
        self._times["communication"] = time.monotonic() - begin
        barrier = self.communication.barrier
        super().__init__(send, barrier, made, lambda group, progress: fetched_once_per_host(group, barrier, progress))

    def answer(self, request: protocol.AnyRequest) -> protocol.AnyReply:
        """At rank 0: pass on what the controller asks, unless it answers alone; the reply of all."""
        if isinstance(request, _OF_RANK_0):
            reply = self._answer_or_end(request)
            write_stack_before(None)
            return reply
        self.communication.broadcast(msgspec.json.encode(request))
        decoder = msgspec.json.Decoder(protocol.AnyReply)
        together = merged([decoder.decode(each) for each in self._gather(request)])
        if isinstance(together, protocol.Loaded):
            settings = {**together.stack.settings, **self.communication.settings()}
            stack = msgspec.structs.replace(together.stack, settings=settings)
            return msgspec.structs.replace(together, stack=stack, phases_s=self._times)
        return together

    def follow(self) -> None:
        """At ranks other than 0: answer what rank 0 passes on."""
        decoder = msgspec.json.Decoder(protocol.AnyRequest)
        while not isinstance(request := decoder.decode(self.communication.broadcast(None)), protocol.Stop):
            self._gather(request)

    def close(self) -> None:
        """Part from the other ranks."""
        if self.communication.rank == 0:
            self.communication.broadcast(msgspec.json.encode(protocol.Stop()))
        super().close()
        self.communication.close()

    def _answer_or_end(self, request: protocol.AnyRequest) -> protocol.AnyReply:
        if not isinstance(request, protocol.Load):  # for which it counts since this rank was started
            write_stack_before(request.patience_s)
        reply = super().answer(request)
        if isinstance(reply, protocol.Failed):
            if self.communication.rank == 0:
                self._send(reply)
            print(reply.message, flush=True)
            # No destructor of a group may wait for the others.
            os._exit(protocol.MISTAKE_STATUS if reply.mistake else 1)
        return reply

    def _gather(self, request: protocol.AnyRequest) -> list[bytes]:
        """Answer, and at rank 0 return the replies of all."""
        replies = self.communication.gather(msgspec.json.encode(self._answer_or_end(request)))
        write_stack_before(None)
        return replies


def write_stack_before(deadline_s: float | None) -> None:
    """Have this rank write its stack shortly before a deadline, in seconds from now, which needs no interpreter."""
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
        _serve(arguments.engine, arguments.meeting, arguments.socket)
    except UserError as error:
        print(error, flush=True)
        os._exit(protocol.MISTAKE_STATUS)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # no destructor of a group may wait for the others


def _serve(engine: str, meeting: str, path: str) -> None:
    _require_what_it_needs(engine, path)
    if os.environ["RANK"] != "0":
        rank = Rank(engine, meeting, lambda reply: None)
        rank.follow()
        return rank.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        listener = None
        if meeting.startswith("tcp:"):  # the controller has bound the socket where ranks meet, and gives it away first
            listener = socket.socket(fileno=socket.recv_fds(connection, 1, 1)[1][0])
        with connection.makefile("rwb") as stream:
            serve(stream, lambda send: Rank(engine, meeting, send, listener)).close()


def _require_what_it_needs(engine: str, path: str) -> None:
    """Raise UserError if rank 0 is not on the controller's host, or this host has no devices for all its ranks."""
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


if __name__ == "__main__":
    main()
