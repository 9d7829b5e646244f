"""Saving and loading."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from os import PathLike, fspath
from typing import Any

from torch import nn
from torch.optim import Optimizer

from fulmen_core.checkpoint import AsyncCheckpointIO, Writers, open_checkpoint, save_directory
from fulmen_core.fabric._base import FabricBase
from fulmen_core.fabric._state import (
    Filter,
    as_directory,
    dump_state,
    load_into,
    restore_scaler,
    restore_state,
    under_own_names,
    writes_directory,
)
from fulmen_core.snapshot import plain_numbers
from fulmen_interfaces import ConfigurationError, Problem

StrPath = str | PathLike[str]


class FileMethods(FabricBase):
    """Checkpoints of what the user's loop holds."""

    def save(self, path: StrPath, state: Mapping[str, Any], filter: Mapping[str, Filter] | None = None) -> None:
        """Write modules, optimizers, whatever has a `state_dict`, and plain values, by name. On all ranks.

        States are those of plain modules and optimizers, whatever the strategy. `filter` says for a name which entries
        of its state are kept: `{"model": lambda name, value: ...}`. A strategy that was told to
        (`state_dict_type="sharded"`) writes a directory. With an optimizer, the loss scale is written, too.
        """
        session = self._launched("save")
        if not isinstance(state, Mapping):
            remedy = 'Write `fabric.save(path, {"model": model})`.'
            raise ConfigurationError([Problem("state", state, "It is no dictionary.", remedy)])
        dumped: dict[str, Any] = plain_numbers(dump_state(state, filter or {}))
        checkpoint_io, place = self._parts.checkpoint_io, fspath(path)
        if writes_directory(state):
            plain_io = checkpoint_io.wrapped if isinstance(checkpoint_io, AsyncCheckpointIO) else checkpoint_io
            writers = Writers(session.world, session.collectives, plain_io)
            save_directory(as_directory(dumped, state), place, writers)
        elif self.is_global_zero:
            checkpoint_io.save(dumped, place)
        session.collectives.barrier("fabric.save")

    def load(
        self,
        path: StrPath,
        state: MutableMapping[str, Any] | nn.Module | Optimizer | None = None,
        strict: bool = True,
        *,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Load a checkpoint into the objects of `state`, and put its other values there. On all ranks.

        Returns what the checkpoint holds besides; everything where there is no `state`. Where `strict`, all names of
        `state`, and all of a module's, must be there: CheckpointError. Only tensors and plain values are read unless
        `weights_only=False`.
        """
        session, place = self._launched("load"), fspath(path)
        if isinstance(state, (nn.Module, Optimizer)):
            self.load_raw(path, state, strict, weights_only=weights_only)
            return {}
        safely = weights_only is not False
        if state is None:
            whole = self._parts.checkpoint_io.load(place, map_location="cpu", weights_only=safely)
            return under_own_names(whole)
        found = open_checkpoint(place, self._parts.checkpoint_io, weights_only=safely, world=session.world)
        checkpoint = under_own_names(dict(found))
        restore_state(state, checkpoint, place, strict=strict)
        restore_scaler(session, checkpoint)
        session.collectives.barrier("fabric.load")
        return checkpoint

    def load_raw(
        self, path: StrPath, obj: nn.Module | Optimizer, strict: bool = True, *, weights_only: bool | None = None
    ) -> None:
        """Load a file that holds nothing but the state of one module or optimizer. On all ranks."""
        self._launched("load_raw")
        safely, place = weights_only is not False, fspath(path)
        state = self._parts.checkpoint_io.load(place, map_location="cpu", weights_only=safely)
        if not load_into(obj, state, place, strict=strict):
            reason = "It has no `load_state_dict`."
            raise ConfigurationError([Problem("obj", obj, reason, "Give a module or an optimizer.")])
