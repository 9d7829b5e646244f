"""Collectives under guard: what `FULMEN_DEBUG_COLLECTIVES` puts around the real ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, final

import torch.distributed as dist
from torch import Tensor, nn

from fulmen_distributed._guard import Guard
from fulmen_interfaces import Collectives, Notes, ReduceOp, SupportsNotes

T = TypeVar("T")


@final
class GuardedCollectives:
    """Implements `Collectives`: before each operation, all ranks compare what it is and where it was called."""

    def __init__(self, inner: Collectives, guard: Guard) -> None:
        self.inner = inner
        self.guard = guard

    def all_reduce(self, tensor: Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> Tensor:
        """Return the reduction over all ranks."""
        self.guard.agree("all_reduce", f"({op.value} of {_shape(tensor)})", ranks=_members(group))
        return self.inner.all_reduce(tensor, op, group=group)

    def all_gather(self, tensor: Tensor, *, group: Any = None, sync_grads: bool = False) -> Tensor:
        """Return the ranks' tensors stacked."""
        self.guard.agree("all_gather", f"({_shape(tensor)})", ranks=_members(group))
        return self.inner.all_gather(tensor, group=group, sync_grads=sync_grads)

    def gather_objects(self, value: T) -> list[T]:
        """Return every rank's picklable value, by rank."""
        self.guard.agree("gather_objects")
        return self.inner.gather_objects(value)

    def broadcast(self, value: T, src: int = 0) -> T:
        """Return rank `src`'s picklable value."""
        self.guard.agree("broadcast", f"(from rank {src})")
        return self.inner.broadcast(value, src)

    def barrier(self, name: str = "") -> None:
        """Return when every rank has come here."""
        self.guard.agree("barrier", repr(name) if name else "")
        self.inner.barrier(name)

    def notes(self) -> Notes | None:
        """Return an empty board, where the inner ones have some."""
        return self.inner.notes() if isinstance(self.inner, SupportsNotes) else None


def guarded(
    collectives: Collectives,
    call: Callable[[Tensor], object],
    *,
    name: str,
    which: Callable[[], str],
    when: Callable[[], bool],
    module: nn.Module,
) -> Callable[[Tensor], object]:
    """Return a call after which ranks communicate by themselves, made a point that all must come to, if under guard.

    `which` says which of many such calls it is; `when`, whether this one is followed by communication; `module` is the
    user's, whose class is told with its line. Without the guard the call itself is returned.
    """
    if not isinstance(collectives, GuardedCollectives):
        return call
    guard, place = collectives.guard, _place_of(module)

    def agreed(loss: Tensor) -> object:
        if when():
            guard.agree(name, which(), note=place)
        return call(loss)

    return agreed


def _place_of(module: nn.Module) -> str:
    """Return the class of a module, and the line where it begins."""
    kind = type(module)
    try:
        file, line = inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):  # it was made at a prompt
        return kind.__qualname__
    return f"{kind.__qualname__} ({file}:{line})"


def _shape(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _members(group: Any) -> tuple[int, ...] | None:
    return None if group is None else tuple(dist.get_process_group_ranks(group))
