"""Joining and leaving the processes of a run."""

from __future__ import annotations

import atexit
import faulthandler
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import final

import torch
import torch.distributed as dist
from torch.distributed import HashStore, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from fulmen_distributed._collectives import TorchCollectives
from fulmen_distributed._guard import Guard, is_wanted
from fulmen_distributed._guarded import GuardedCollectives
from fulmen_distributed._parent import watch_parent
from fulmen_distributed._rounds import is_elastic, of_this_round
from fulmen_interfaces import Collectives, FulmenError, Placement, RankError, SingleProcessCollectives, World

DEFAULT_TIMEOUT = timedelta(minutes=30)
_FAREWELL = timedelta(seconds=3)
_TO_END_SECONDS = 5.0
_TO_LET_GO_SECONDS = 0.1


@final
class ProcessGroup:
    """torch's default process group for one run after another, and where this process works in it.

    With several processes it stays after a run, so that checkpoints can be saved and the next run need not meet anew;
    it ends with the process. One that the user made is used, and left in place.
    """

    def __init__(self, *, backend: str | None = None, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self._backend = backend
        self._timeout = timeout
        self._alone = False
        self._placement: Placement | None = None
        self._collectives: Collectives = SingleProcessCollectives()
        self._device = torch.device("cpu")

    @property
    def placement(self) -> Placement:
        """Where this process works. Raises FulmenError outside of a run."""
        if self._placement is None:
            raise FulmenError("`prepare` was called before `start`, which says on which device. Call `start` first.")
        return self._placement

    @property
    def collectives(self) -> Collectives:
        """Those of the run; outside of one, of a process that is alone."""
        return self._collectives

    @property
    def device(self) -> torch.device:
        """The device of this process in the newest run; the host's before the first."""
        return self._device

    def join(self, placement: Placement) -> Collectives:
        """Meet the other processes of the run."""
        self._placement, self._device = placement, placement.device
        self._collectives = self._meet(placement)
        return self._collectives

    def leave(self) -> None:
        """End the run, and the group of a process that is alone."""
        self._placement, self._collectives = None, SingleProcessCollectives()
        if self._alone and dist.is_initialized():
            dist.destroy_process_group()
        self._alone = False

    def _meet(self, placement: Placement) -> Collectives:
        wanted = _Meeting(placement.world, self.backend_for(placement), self._timeout)
        environment = placement.environment
        if wanted.world.size == 1 and (environment is None or not environment.creates_processes):
            if not dist.is_initialized():
                wanted.begin(HashStore())
                self._alone = True
            return SingleProcessCollectives()
        if _met and _met[-1][0] == wanted:
            return _met[-1][1]
        if dist.is_initialized():
            if not _met:
                return TorchCollectives(timeout=self._timeout)
            _leave_guard()
            dist.destroy_process_group()
        store = PrefixStore(f"fulmen-{len(_met)}", _store(placement, self._timeout))
        wanted.begin(PrefixStore("group", store))
        _met.append((wanted, wanted.collectives(store)))
        return _met[-1][1]

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
        _began.set()
        world = self.world
        dist.init_process_group(self.backend, store=store, rank=world.rank, world_size=world.size, timeout=self.timeout)

    def collectives(self, store: Store) -> Collectives:
        """Return the operations of the group that has begun; under guard where that is asked for."""
        plain = TorchCollectives(store=PrefixStore("fulmen", store), timeout=self.timeout)
        world = self.world
        if world.size == 1 or not is_wanted():
            return plain
        guard = Guard(PrefixStore("guard", store), rank=world.rank, size=world.size, timeout=self.timeout)
        return GuardedCollectives(plain, guard)


# There is one default group in a process, and one place where the processes meet; both outlive a run.
_met: list[tuple[_Meeting, Collectives]] = []
_stores: list[Store] = []


def host_store() -> TCPStore:
    """Return a new store at a port of this machine that was free: from now on nobody else can take it."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, multi_tenant=True)


def store_at(listener: socket.socket) -> TCPStore:
    """Return a new store that answers there."""
    address, port = listener.getsockname()
    return TCPStore(
        address,
        port,
        is_master=True,
        wait_for_workers=False,
        multi_tenant=True,
        master_listen_fd=listener.detach(),
        use_libuv=False,  # libuv of torch 2.6 takes no listener
    )


def keep_store(store: Store) -> None:
    """Let the processes of this program meet at that store."""
    _stores.append(store)
    atexit.register(part)


def _store(placement: Placement, timeout: timedelta) -> Store:
    if not _stores:
        world, environment = placement.world, placement.environment
        if environment is not None:
            os.environ.setdefault("MASTER_ADDR", environment.main_address)
            os.environ.setdefault("MASTER_PORT", str(environment.main_port))
        store = _store_by_variables(world, timeout)
        if is_elastic():
            watch_parent()  # without its agent a process is not part of the next round, but the others wait for it
            store = of_this_round(store, world, timeout)
        keep_store(store)
    return _stores[0]


def _store_by_variables(world: World, timeout: timedelta) -> Store:
    """Return the store at the place that the environment variables name."""
    try:
        store: Store = next(rendezvous("env://", world.rank, world.size, timeout=timeout))[0]
    except dist.DistError as error:
        place, reason = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}", str(error).rstrip(" .\n")
        if world.is_global_zero:
            raise FulmenError(
                f"Rank 0 cannot listen at {place}, where the others will look for it: {reason}. Set MASTER_PORT to "
                "another port on all machines, or end the program that has this one."
            ) from error
        raise RankError(
            f"Rank {world.rank} did not find rank 0 at {place}: {reason}. Look at what rank 0 printed, and whether "
            "MASTER_ADDR and MASTER_PORT are the same on all machines and can be reached from this one."
        ) from error
    return store


def abandon(error: BaseException | None = None) -> None:
    """Do not part in order: the run was broken off, and others may be waiting in the middle of an operation.

    Under guard, the others are told by which error.
    """
    _leave_guard(error)
    _met.clear()


def _leave_guard(error: BaseException | None = None) -> None:
    if _met and isinstance(_met[-1][1], GuardedCollectives):
        with suppress(RuntimeError):  # the store may be gone
            _met[-1][1].guard.leave(error)


def end_soon() -> None:
    """Let this process, which is ending after an error, end within seconds, also where a library waits for others.

    torch's groups wait for their operations when they are cleared away, and others may never take part in those. The
    seconds count from when all that was to be done at the exit is done.
    """
    _ends_soon.set()


def _count_seconds() -> None:
    if _ends_soon.is_set():
        with suppress(Exception):  # there may be no file to write to
            faulthandler.dump_traceback_later(_TO_END_SECONDS, exit=True)


def _let_go() -> None:
    """Give gloo's threads a moment to drop their tensors: they have told that these are ready, not more.

    A thread that needs Python for that while Python ends brings the process down, after a run in which all was well.
    """
    if _began.is_set():
        time.sleep(_TO_LET_GO_SECONDS)


_began, _ends_soon = threading.Event(), threading.Event()
atexit.register(_count_seconds)  # what is registered first runs last
atexit.register(_let_go)


def part() -> None:
    """Leave the other processes for good, in order: rank zero last, for others may still wait for an answer of it.

    After an error there is no order to keep: connections close when the process ends, so that the others notice.
    """
    error: BaseException | None = getattr(sys, "last_value", None)
    if not _met or not dist.is_initialized() or error is not None:
        abandon(error)
        if error is not None:
            end_soon()
        return
    world, store = _met[-1][0].world, _stores[0]
    abandon()
    with suppress(dist.DistError):  # they may be gone without a word
        if world.rank == 0:
            store.wait(["left"], _FAREWELL)
        elif store.add("leaving", 1) == world.size - 1:
            store.set("left", "1")
    dist.destroy_process_group()
