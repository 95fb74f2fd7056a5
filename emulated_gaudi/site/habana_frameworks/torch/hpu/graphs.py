"""HPU graphs. The logic of wrap_in_hpu_graph is that of the bridge's 1.19; the graph itself is a tape in the device.

A replay copies the inputs into those of the capture, runs the recorded operations and returns the very output objects
of the capture. The Python code of the module does not run again.
"""

import collections
import functools
import itertools
import os

import torch

from habana_frameworks.torch import _device
from habana_frameworks.torch._device import NotEmulatedError, native

from .streams import default_stream, stream

__all__ = [
    "CachedParams",
    "HPUGraph",
    "ModuleCacher",
    "TensorPacker",
    "copy_to",
    "graph",
    "input_hash",
    "is_current_stream_capturing",
    "make_graphed_callables",
    "wrap_in_hpu_graph",
    "wrap_in_hpu_graph_func",
]

_names = itertools.count()


class HPUGraph:
    def __init__(self):
        self.hpu_graph = native.Graph()

    def capture_begin(self, dry_run=False):
        """dry_run: the bridge does not run what it captures then; the emulation does, once (see wrap_in_hpu_graph)."""
        self.hpu_graph.capture_begin()

    def capture_end(self):
        self.hpu_graph.capture_end(f"hpu_graph_{next(_names)}")

    def replay(self, asynchronous=False):
        _device.apply_faults()
        self.hpu_graph.replay()

    def replayV2(self, static_tlist, tlist, asynchronous=False):
        for static, new in zip(static_tlist, tlist, strict=True):
            static.copy_(new)
        self.replay(asynchronous)

    def replayV3(self, tlistI, asynchronous=False):
        raise NotEmulatedError("HPUGraph.replayV3")

    def mark_user_inputs(self, static_tlist):
        raise NotEmulatedError("HPUGraph.mark_user_inputs")

    def mark_user_outputs(self, static_tlist):
        raise NotEmulatedError("HPUGraph.mark_user_outputs")

    def clear_inputs(self):
        """In the bridge: drops inputs that are held as outputs. Here they belong to the tape."""

    def reset(self):
        self.hpu_graph.reset()


class graph:
    """Captures what runs inside into an HPUGraph."""

    def __init__(self, hpu_graph, stream=None, dry_run=False):
        self.hpu_graph = hpu_graph
        self.capture_stream = stream or default_stream()
        self._context = None

    def __enter__(self):
        _device.synchronize()
        self._context = stream(self.capture_stream)
        self._context.__enter__()
        self.capture_stream.is_capture = True
        self.hpu_graph.capture_begin()

    def __exit__(self, exc_type, exc_value, traceback):
        self.capture_stream.is_capture = False
        self._context.__exit__(exc_type, exc_value, traceback)
        if exc_type is None:
            self.hpu_graph.capture_end()
        else:
            native.abandon_capture()


class CachedParams:
    def __init__(self, graph_inputs, graph_outputs, graph, out_tinfo_list=None, asynchronous=False):
        self.graph_inputs = graph_inputs
        self.graph_outputs = graph_outputs
        self.graph = graph
        self.out_tinfo_list = out_tinfo_list
        self.asynchronous = asynchronous


def _view_hash(tensor):
    """Distinguishes views by how they lie in their storage; the bridge hashes the chain of views itself."""
    if tensor.is_contiguous() and tensor.storage_offset() == 0:
        return 0
    return hash((tensor.stride(), tensor.storage_offset()))


def input_hash(obj):
    """As in the bridge: tensors count by shape and view (not by type), everything else by value."""
    autocast = torch.is_autocast_enabled("hpu")
    if isinstance(obj, dict):
        return input_hash(tuple(obj.items()))
    if isinstance(obj, list) or (isinstance(obj, tuple) and not isinstance(obj, torch.Size)):
        return hash((tuple(input_hash(element) for element in obj), autocast))
    if torch.is_tensor(obj):
        return hash((obj.shape, _view_hash(obj), autocast))
    if isinstance(obj, collections.UserDict):
        return hash(tuple((k, tuple(v)) for k, v in obj.items()))
    return hash((obj, autocast))


def copy_to(dst, src):
    assert type(dst) is type(src)
    if isinstance(dst, dict):
        for (dst_key, dst_value), (src_key, src_value) in zip(dst.items(), src.items(), strict=True):
            assert dst_key == src_key
            copy_to(dst_value, src_value)
    elif isinstance(dst, list) or (isinstance(dst, tuple) and not isinstance(dst, torch.Size)):
        for d, s in zip(dst, src, strict=True):
            copy_to(d, s)
    elif torch.is_tensor(dst):
        dst.copy_(src, non_blocking=True)


def _wrapped_forward(cache, orig_fwd, args, kwargs, asynchronous, max_graphs):
    if kwargs.pop("warmup_mode", False):
        raise NotEmulatedError("warmup_mode=True")
    if "cache_tensors_list" in kwargs:
        raise NotEmulatedError("cache_tensors_list")
    if kwargs.pop("bypass_hpu_graphs", False):
        return orig_fwd(*args, **kwargs)
    inputs = (args, kwargs)
    key = input_hash(inputs)
    cached = cache.get(key)
    if cached is None:
        if max_graphs is not None and len(cache) == max_graphs:
            return orig_fwd(*args, **kwargs)
        hpu_graph = HPUGraph()
        hpu_graph.capture_begin()
        try:
            outputs = orig_fwd(*args, **kwargs)
            hpu_graph.capture_end()
        except BaseException:
            native.abandon_capture()
            raise
        cache[key] = CachedParams(inputs, outputs, hpu_graph, None, asynchronous)
        return outputs
    copy_to(cached.graph_inputs, inputs)
    cached.graph.replay(cached.asynchronous)
    return cached.graph_outputs


def _check(disable_tensor_cache, dry_run):
    for variable in ("PT_HPUGRAPH_DISABLE_TENSOR_CACHE", "PT_HPUGRAPH_ENABLE_DRY_RUN"):
        if os.environ.get(variable) == "1":
            raise NotEmulatedError(f"{variable}=1")
    if disable_tensor_cache or dry_run:
        raise NotEmulatedError("wrap_in_hpu_graph with disable_tensor_cache or dry_run")


def wrap_in_hpu_graph_func(func, asynchronous=False, disable_tensor_cache=False, dry_run=False, max_graphs=None):
    _check(disable_tensor_cache, dry_run)
    cache = {}

    @functools.wraps(func)
    def forward(*args, **kwargs):
        return _wrapped_forward(cache, func, args, kwargs, asynchronous, max_graphs)

    return forward


def wrap_in_hpu_graph(module, asynchronous=False, disable_tensor_cache=False, dry_run=False, max_graphs=None):
    """Replaces module.forward: the first call with inputs of a kind is captured, later ones are replayed."""
    _check(disable_tensor_cache, dry_run)
    cache = {}
    orig_fwd = module.forward

    @functools.wraps(orig_fwd)
    def forward(*args, **kwargs):
        return _wrapped_forward(cache, orig_fwd, args, kwargs, asynchronous, max_graphs)

    def clear_inputs():
        for cached in cache.values():
            cached.graph.clear_inputs()

    module.forward = forward
    module.clear_cache = cache.clear
    module.clear_inputs = clear_inputs
    return module


def make_graphed_callables(*args, **kwargs):
    raise NotEmulatedError("make_graphed_callables (graphs for training)")


class ModuleCacher:
    def __init__(self, *args, **kwargs):
        raise NotEmulatedError("ModuleCacher (graphs for training)")


def is_current_stream_capturing():
    return native.is_capturing()


class TensorPacker:
    """Takes the tensors out of nested tuples, lists and dictionaries, and puts others into their places."""

    class Index:
        def __init__(self, value):
            self.value = value

        def __repr__(self):
            return f"#{self.value}"

    def __init__(self, is_out_pack=False, verbose=False):
        self._verbose = verbose

    def pack(self, outs):
        tensors = []

        def place(value):
            if torch.is_tensor(value):
                tensors.append(value)
                return self.Index(len(tensors) - 1)
            if self._verbose:
                print(f"[WARNING] Variable of type {type(value)} will not be dynamic")
            return value

        metadata = _mapped(place, outs)
        return tuple(tensors), metadata

    def unpack(self, tensors, metadata):
        return _mapped(lambda leaf: tensors[leaf.value] if isinstance(leaf, self.Index) else leaf, metadata)


def _mapped(function, value):
    if isinstance(value, dict):
        return {key: _mapped(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)([_mapped(function, item) for item in value])
    return function(value)
