"""Joining and leaving the processes of a run."""

from __future__ import annotations

import itertools
import os
from datetime import timedelta
from typing import Any, final

import torch.distributed as dist

from fulmen_distributed._collectives import TorchCollectives
from fulmen_interfaces import Placement

DEFAULT_TIMEOUT = timedelta(minutes=30)


@final
class ProcessGroup:
    """torch's default process group for one run after another. One that the user made is used and left in place."""

    def __init__(self, *, backend: str | None = None, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self._backend = backend
        self._timeout = timeout
        self._ours = False

    def join(self, placement: Placement) -> TorchCollectives:
        """Meet the other processes of the run."""
        if dist.is_initialized():
            return TorchCollectives(timeout=self._timeout)
        world = placement.world
        store = _store_of_run(placement, self._timeout)
        dist.init_process_group(
            self.backend_for(placement),
            store=dist.PrefixStore("group", store),
            rank=world.rank,
            world_size=world.size,
            timeout=self._timeout,
        )
        self._ours = True
        return TorchCollectives(store=dist.PrefixStore("fulmen", store), timeout=self._timeout)

    def leave(self) -> None:
        """Close the connections, where `join` opened them."""
        if self._ours and dist.is_initialized():
            dist.destroy_process_group()
        self._ours = False

    def backend_for(self, placement: Placement) -> str:
        """Return torch's name of what carries messages: the accelerator's own, and gloo for what lies in host memory."""
        backend = self._backend or placement.accelerator.spec.process_group or "gloo"
        kind = placement.device.type
        return backend if kind == "cpu" or ":" in backend or backend == "gloo" else f"cpu:gloo,{kind}:{backend}"


# The place where processes meet outlives a run: a second run would find the port of the first still closing.
_stores: dict[tuple[str, str], Any] = {}
_runs = itertools.count()


def _store_of_run(placement: Placement, timeout: timedelta) -> Any:
    world, environment = placement.world, placement.environment
    if environment is None and world.size == 1:
        return dist.HashStore()
    if environment is not None:
        os.environ.setdefault("MASTER_ADDR", environment.main_address)
        os.environ.setdefault("MASTER_PORT", str(environment.main_port))
    place = (os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", ""))
    if place not in _stores:
        _stores[place], _, _ = next(dist.rendezvous("env://", world.rank, world.size, timeout=timeout))
    return dist.PrefixStore(f"fulmen-run-{next(_runs)}", _stores[place])
