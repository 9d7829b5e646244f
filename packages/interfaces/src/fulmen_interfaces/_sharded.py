"""Checkpoints that are directories: every rank writes its part, and reads whatever part it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer


class StateDictType(str, Enum):
    """What `save_checkpoint` writes."""

    FULL = "full"
    """One file, written by rank zero, that holds everything."""
    SHARDED = "sharded"
    """A directory, into which every rank writes the tensors that it has."""


class SavedState(Mapping[str, Any], ABC):
    """What a checkpoint holds, by name; it is read when it is asked for.

    Every rank reads for itself: none of the methods waits for other ranks, and each may ask for other names.
    """

    @abstractmethod
    def __getitem__(self, name: str) -> Any:
        """Return a value; a tensor whole, in the host's memory."""

    @abstractmethod
    def outline(self, name: str) -> torch.Tensor | None:
        """Return a tensor's shape and type, as a tensor on the meta device; None for what is no tensor."""

    @abstractmethod
    def read(self, into: Mapping[str, torch.Tensor]) -> None:
        """Fill tensors, whole ones or DTensors on any device, with what was saved under their names.

        Of a DTensor, only this rank's part is read. Shapes must be those of `outline`; types are converted.
        """


class SavedOptimizer(Protocol):
    """An optimizer's state in a checkpoint. Parameters go by their names in the module."""

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]:
        """The groups' hyper-parameters; `params` lists names, in the order of the optimizer that was saved."""
        ...

    @property
    def state(self) -> SavedState:
        """All states, `<parameter>.<key>` each; the part behind the last dot is the key."""
        ...

    @property
    def others(self) -> Mapping[str, Any]:
        """What its `state_dict` held beside `state` and `param_groups`."""
        ...


@runtime_checkable
class SupportsShardedCheckpoint(Protocol):
    """A prepared model of whose state each rank can give and take a part. All methods are called on all ranks.

    It only says what is where; the core writes and reads the directory. What was saved under one strategy and number of
    processes is loaded under any other, so names and whole shapes are those of the user's plain module.
    """

    @property
    def state_dict_type(self) -> StateDictType:
        """What `save_checkpoint` is to write. Both kinds are read, whatever it is."""
        ...

    def sharded_model_state(self) -> dict[str, Any]:
        """Return what this rank has of the module's state, by name: DTensors, whole tensors and plain values.

        A whole tensor may be given by one rank or by several, one of which then writes it.
        """
        ...

    def load_sharded_model_state(self, saved: SavedState, *, strict: bool = True) -> None:
        """Take what this rank needs. Where `strict`, names that are absent or too many raise RuntimeError."""
        ...

    def sharded_optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return what this rank has of an optimizer's state: `state` by parameter name and key, and `param_groups`.

        As a plain optimizer's `state_dict`, but names (of the user's module) stand in place of numbers. What is no
        tensor in `state` may be given by any rank; the rest must be whole on rank zero.
        """
        ...

    def load_sharded_optimizer_state(self, optimizer: Optimizer, saved: SavedOptimizer) -> None:
        """Take what this rank needs. What does not fit raises ValueError, KeyError or RuntimeError."""
        ...
