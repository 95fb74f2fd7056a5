"""Streams that differ only by name, and events that take the host's time: the device is never behind the host."""

import itertools
import time

import torch

from habana_frameworks.torch import _device

_ids = itertools.count(1)


class Stream:
    def __init__(self, device=None, priority=0, *, stream_id=None, **kwargs):
        self.stream_id = next(_ids) if stream_id is None else stream_id
        self.device_index = _device.index
        self.device = torch.device("hpu", _device.index)
        self.is_capture = False

    def synchronize(self):
        _device.synchronize()

    def query(self):
        return True

    def wait_event(self, event):
        event.wait(self)

    def wait_stream(self, stream):
        self.wait_event(stream.record_event())

    def record_event(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def id(self):
        return self.stream_id

    def __eq__(self, other):
        return isinstance(other, Stream) and other.stream_id == self.stream_id

    def __hash__(self):
        return hash((self.stream_id, self.device))

    def __repr__(self):
        return f"<torch.hpu.Stream device={self.device} hpu_stream={self.stream_id:#x}>"


class Event:
    def __init__(self, enable_timing=False):
        self._enable_timing = enable_timing
        self._recorded = None

    def record(self, stream=None):
        _device.native.synchronise()  # what was asked before is done by now, and its added slowness too
        self._recorded = time.perf_counter_ns()

    def wait(self, stream=None):
        pass

    def query(self):
        return True

    def synchronize(self):
        _device.synchronize()

    def elapsed_time(self, end_event):
        """Milliseconds."""
        if not (self._enable_timing and end_event._enable_timing):
            raise RuntimeError("elapsed_time needs events made with enable_timing=True")
        if self._recorded is None or end_event._recorded is None:
            raise RuntimeError("elapsed_time needs two events that were recorded")
        return (end_event._recorded - self._recorded) / 1e6


_default = Stream(stream_id=0)
_current = [_default]


class StreamContext:
    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        self._before = _current[0]
        set_stream(self.stream)

    def __exit__(self, *exc):
        set_stream(self._before)


def stream(stream):
    return StreamContext(stream)


def set_stream(stream):
    if stream is not None:
        _current[0] = stream


def current_stream(device=None):
    return _current[0]


def default_stream(device=None):
    return _default
