"""Joining and leaving the processes of a run."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import final

import torch.distributed as dist
from torch.distributed import HashStore, PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from fulmen_distributed._collectives import TorchCollectives
from fulmen_interfaces import Collectives, Placement, SingleProcessCollectives, World

DEFAULT_TIMEOUT = timedelta(minutes=30)
_FAREWELL = timedelta(seconds=3)


@final
class ProcessGroup:
    """torch's default process group for one run after another.

    With several processes it stays after a run, so that checkpoints can be saved and the next run need not meet anew;
    it ends with the process. One that the user made is used, and left in place.
    """

    def __init__(self, *, backend: str | None = None, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self._backend = backend
        self._timeout = timeout
        self._alone = False

    def join(self, placement: Placement) -> Collectives:
        """Meet the other processes of the run."""
        wanted = _Meeting(placement.world, self.backend_for(placement), self._timeout)
        if wanted.world.size == 1 and placement.environment is None:
            if not dist.is_initialized():
                wanted.begin(HashStore())
                self._alone = True
            return SingleProcessCollectives()
        if _met and _met[-1][0] == wanted:
            return _met[-1][1]
        if dist.is_initialized():
            if not _met:
                return TorchCollectives(timeout=self._timeout)
            dist.destroy_process_group()
        store = PrefixStore(f"fulmen-{len(_met)}", _store(placement, self._timeout))
        wanted.begin(PrefixStore("group", store))
        _met.append((wanted, TorchCollectives(store=PrefixStore("fulmen", store), timeout=self._timeout)))
        return _met[-1][1]

    def leave(self) -> None:
        """End the group of a process that is alone."""
        if self._alone and dist.is_initialized():
            dist.destroy_process_group()
        self._alone = False

    def backend_for(self, placement: Placement) -> str:
        """Return torch's name of what carries messages: the accelerator's own, and gloo for host memory."""
        backend = self._backend or placement.accelerator.spec.process_group or "gloo"
        kind = placement.device.type
        return backend if kind == "cpu" or ":" in backend or backend == "gloo" else f"cpu:gloo,{kind}:{backend}"


@dataclass(frozen=True)
class _Meeting:
    """Which processes speak to each other, and how."""

    world: World
    backend: str
    timeout: timedelta

    def begin(self, store: Store) -> None:
        """Make the process group."""
        world = self.world
        dist.init_process_group(self.backend, store=store, rank=world.rank, world_size=world.size, timeout=self.timeout)


# There is one default group in a process, and one place where the processes meet; both outlive a run.
_met: list[tuple[_Meeting, TorchCollectives]] = []
_stores: list[Store] = []


def _store(placement: Placement, timeout: timedelta) -> Store:
    if not _stores:
        world, environment = placement.world, placement.environment
        if environment is not None:
            os.environ.setdefault("MASTER_ADDR", environment.main_address)
            os.environ.setdefault("MASTER_PORT", str(environment.main_port))
        store, _, _ = next(rendezvous("env://", world.rank, world.size, timeout=timeout))
        _stores.append(store)
        atexit.register(part)
    return _stores[0]


def abandon() -> None:
    """Do not part in order: the run was broken off, and others may be waiting in the middle of an operation."""
    _met.clear()


def part() -> None:
    """Leave the other processes for good, in order: rank zero last, for others may still wait for an answer of it.

    After an error there is no order to keep: connections close when the process ends, so that the others notice.
    """
    if not _met or not dist.is_initialized() or getattr(sys, "last_value", None) is not None:
        return
    world, store = _met[-1][0].world, _stores[0]
    _met.clear()
    with suppress(dist.DistError):  # they may be gone without a word
        if world.rank == 0:
            store.wait(["left"], _FAREWELL)
        elif store.add("leaving", 1) == world.size - 1:
            store.set("left", "1")
    dist.destroy_process_group()
