"""Registers kernels under the key that native/fallback.h looks for: they are given the host's aliases of the tensors."""

import torch

_KEY = "PrivateUse3"
_hpu = torch.library.Library("hpu", "DEF")
_aten = torch.library.Library("aten", "IMPL")


def operator(*schemas):
    """Defines operators of the namespace hpu, all of them computed by the decorated function."""

    def register(function):
        for schema in schemas:
            _hpu.define(schema)
            _hpu.impl(schema.partition("(")[0], function, _KEY)
        return function

    return register


def kernel(name):
    """The decorated function computes an operator of torch."""

    def register(function):
        _aten.impl(name, function, _KEY)
        return function

    return register
