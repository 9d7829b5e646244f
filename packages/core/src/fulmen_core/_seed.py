"""Seeding: one number from which every random generator of a process starts."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fulmen_core.random import capture_random_state, restore_random_state
from fulmen_interfaces import ConfigurationError, Problem, rank_zero_info

SEED_VARIABLE = "FULMEN_GLOBAL_SEED"
"""Environment variable of the seed: processes that are started later find it there."""
WORKERS_VARIABLE = "FULMEN_SEED_WORKERS"
"""Environment variable that says whether workers of data loaders are seeded: 1 or 0."""

_OTHER_SEED_VARIABLES = ("PL_GLOBAL_SEED",)
_MOST = 2**32 - 1  # what NumPy's global generator takes


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed Python, NumPy (where installed) and torch on all devices, and return the seed.

    Without a seed the environment variable FULMEN_GLOBAL_SEED counts, then PL_GLOBAL_SEED, then 0. `workers` says that
    the workers of data loaders are seeded, too, differently on every rank.
    Raises ConfigurationError for what is no whole number from 0 to 2**32 - 1.
    """
    chosen = _from_environment() if seed is None else _checked("seed", seed)
    os.environ[SEED_VARIABLE] = str(chosen)
    os.environ[WORKERS_VARIABLE] = str(int(workers))
    if verbose:
        rank_zero_info(f"Seed set to {chosen}.")
    _seed_generators(chosen, chosen, chosen)
    return chosen


def workers_are_seeded() -> bool:
    """Return whether workers of data loaders are to be seeded: `seed_everything(..., workers=True)` was called."""
    return os.environ.get(WORKERS_VARIABLE, "0") == "1"


def seed_worker(worker_id: int, rank: int) -> None:
    """Seed the generators of a data loader's worker, differently for every worker, rank and epoch.

    Runs in the worker, as a loader's `worker_init_fn`.
    """
    base = torch.initial_seed() - worker_id  # the loader draws it anew in every epoch
    name = f"{base}/{worker_id}/{rank}"
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    _seed_generators(
        int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big"), int.from_bytes(digest[8:], "big")
    )


@contextmanager
def isolate_rng(include_devices: bool = True) -> Iterator[None]:
    """Inside, random numbers may be drawn or generators seeded; afterwards they go on as if nothing had happened.

    `include_devices` says whether the generators of the accelerator's devices are restored, too.
    """
    host = capture_random_state()
    kind = _device_in_use() if include_devices else None
    try:
        if kind is None:
            yield
        else:
            with torch.random.fork_rng(list(range(torch.accelerator.device_count())), device_type=kind):
                yield
    finally:
        restore_random_state(host)


def _seed_generators(python: int, numpy: int, torch_: int) -> None:
    random.seed(python)
    torch.manual_seed(torch_)
    if importlib.util.find_spec("numpy") is not None:
        import numpy as np

        np.random.seed(numpy)


def _from_environment() -> int:
    for variable in (SEED_VARIABLE, *_OTHER_SEED_VARIABLES):
        if variable in os.environ:
            return _checked(variable, os.environ[variable])
    return 0


def _checked(argument: str, value: object) -> int:
    reason = f"A seed is a whole number from 0 to {_MOST}."
    try:
        number = value if isinstance(value, int) else int(str(value))
    except ValueError:
        number = -1
    if isinstance(value, bool) or not 0 <= number <= _MOST:
        raise ConfigurationError([Problem(argument, value, reason, "For example 42.")])
    return int(number)


def _device_in_use() -> str | None:
    """Return the accelerator's type if it is in use; asking others for their generators' state would start them."""
    try:
        device = torch.accelerator.current_accelerator()  # that torch is built for: asking if it is there may start it
    except RuntimeError:  # torch 2.6 asks, too, and says so where none is there
        return None
    if device is None:
        return None
    started = getattr(torch.get_device_module(device), "is_initialized", torch.accelerator.is_available)
    return device.type if started() else None
