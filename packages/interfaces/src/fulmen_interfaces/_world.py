"""Where one process stands among all, and how they speak to each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The place of one process among all of a run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    node_rank: int = 0
    num_nodes: int = 1

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def is_local_zero(self) -> bool:
        """Whether this process is the first of its machine."""
        return self.local_rank == 0


class ReduceOp(str, Enum):
    """How values of several processes become one."""

    MEAN = "mean"
    SUM = "sum"
    MIN = "min"
    MAX = "max"


class Collectives(Protocol):
    """Operations in which every process of the run takes part, in the same order."""

    def all_reduce(self, tensor: torch.Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> torch.Tensor:
        """Return the reduction over all ranks; `tensor` itself is left as it is."""
        ...

    def all_gather(self, tensor: torch.Tensor, *, group: Any = None, sync_grads: bool = False) -> torch.Tensor:
        """Return the ranks' tensors stacked along a new first dimension; shapes must agree."""
        ...

    def gather_objects(self, value: T) -> list[T]:
        """Return every rank's picklable value, by rank, on every rank."""
        ...

    def broadcast(self, value: T, src: int = 0) -> T:
        """Return rank `src`'s picklable value on every rank."""
        ...

    def barrier(self, name: str = "") -> None:
        """Return when every rank has come here; `name` appears in the error of a timeout."""
        ...


class Notes(Protocol):
    """A board on which processes leave each other notes without meeting. Safe to use from several threads."""

    def leave(self, key: str, text: str) -> None:
        """Leave a note for everybody."""
        ...

    def found(self, key: str) -> str | None:
        """Return the note, if it was left; at once."""
        ...


@runtime_checkable
class SupportsNotes(Protocol):
    """Collectives whose processes can also leave each other notes."""

    def notes(self) -> Notes | None:
        """Return an empty board; call it on every rank, in the same order. None where they have no place for one."""
        ...


class SingleProcessCollectives:
    """The collectives of a run with one process: every operation returns what it was given."""

    def all_reduce(self, tensor: torch.Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> torch.Tensor:
        """Return the tensor."""
        return tensor

    def all_gather(self, tensor: torch.Tensor, *, group: Any = None, sync_grads: bool = False) -> torch.Tensor:
        """Return the tensor with a first dimension of one."""
        return tensor.unsqueeze(0)

    def gather_objects(self, value: T) -> list[T]:
        """Return a list of the one value."""
        return [value]

    def broadcast(self, value: T, src: int = 0) -> T:
        """Return the value."""
        return value

    def barrier(self, name: str = "") -> None:
        """Return at once."""
