"""Random state. The device draws from torch's CPU generator, so that seeds give the numbers of the CPU."""

import torch

from ._utils import _get_device_index

__all__ = [
    "get_rng_state",
    "get_rng_state_all",
    "set_rng_state",
    "set_rng_state_all",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "initial_seed",
]


class _Generators(list):
    """One generator, whatever the index: a process has one device."""

    def __getitem__(self, index):
        return super().__getitem__(0)


default_generators = _Generators([torch.default_generator])


def get_rng_state(device="hpu"):
    _get_device_index(device, optional=True)
    return torch.default_generator.get_state()


def set_rng_state(new_state, device="hpu"):
    _get_device_index(device, optional=True)
    torch.default_generator.set_state(new_state)


def get_rng_state_all():
    return [get_rng_state()]


def set_rng_state_all(new_states):
    if len(new_states) != 1:
        raise RuntimeError("hpu set_rng_state_all supports only states len of 1")
    set_rng_state(new_states[0])


def manual_seed(seed):
    return torch.default_generator.manual_seed(int(seed))


def manual_seed_all(seed):
    manual_seed(seed)


def seed():
    return torch.default_generator.seed()


def seed_all():
    torch.default_generator.seed()


def initial_seed():
    return torch.default_generator.initial_seed()
