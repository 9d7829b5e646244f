"""Operations over all processes of a run, by torch.distributed."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any, TypeVar, cast, final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from fulmen_interfaces import Notes, RankError, ReduceOp

T = TypeVar("T")

_OPERATIONS = {
    ReduceOp.MEAN: dist.ReduceOp.SUM,  # gloo knows no mean
    ReduceOp.SUM: dist.ReduceOp.SUM,
    ReduceOp.MIN: dist.ReduceOp.MIN,
    ReduceOp.MAX: dist.ReduceOp.MAX,
}


@final
class TorchCollectives:
    """Implements `Collectives` over the default process group.

    With a `store`, a barrier that not everybody reaches in time says which ranks are missing.
    """

    def __init__(self, *, store: Store | None = None, timeout: timedelta) -> None:
        self._store = store
        self._timeout = timeout
        self._barriers = itertools.count()
        self._boards = itertools.count()

    def all_reduce(self, tensor: Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> Tensor:
        """Return the reduction over all ranks; means of whole numbers are floats."""
        result = tensor.detach().clone(memory_format=torch.contiguous_format)
        if op is ReduceOp.MEAN and not (result.is_floating_point() or result.is_complex()):
            result = result.to(torch.get_default_dtype())
        dist.all_reduce(result, _OPERATIONS[op], group=group)
        return result / dist.get_world_size(group) if op is ReduceOp.MEAN else result

    def all_gather(self, tensor: Tensor, *, group: Any = None, sync_grads: bool = False) -> Tensor:
        """Return the ranks' tensors stacked. With `sync_grads`, gradients of all ranks flow back into `tensor`."""
        if sync_grads and tensor.requires_grad:
            return cast(Tensor, _Gather.apply(tensor, group))  # type: ignore[no-untyped-call]
        return _gathered(tensor.detach(), group)

    def gather_objects(self, value: T) -> list[T]:
        """Return every rank's picklable value, by rank."""
        values: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: T, src: int = 0) -> T:
        """Return rank `src`'s picklable value."""
        values: list[Any] = [value]
        dist.broadcast_object_list(values, src=src)
        result: T = values[0]
        return result

    def barrier(self, name: str = "") -> None:
        """Return when every rank has come here. Raises RankError with the missing ranks when the time is over."""
        if self._store is None:
            dist.barrier()
            return
        store, rank, size = self._store, dist.get_rank(), dist.get_world_size()
        key = f"barrier/{next(self._barriers)}"
        store.set(f"{key}/{rank}", name)
        if store.add(f"{key}/count", 1) == size:
            store.set(f"{key}/done", "1")
        try:
            store.wait([f"{key}/done"], self._timeout)
        except dist.DistError as error:
            missing = [other for other in range(size) if not store.check([f"{key}/{other}"])]
            if not missing:
                raise
            raise RankError(
                f"Rank {rank} waited {self._timeout.total_seconds():g} s for all ranks at the barrier {name!r}, but "
                f"{'ranks' if len(missing) > 1 else 'rank'} {', '.join(map(str, missing))} did not come. "
                "Every rank must call the same hooks and collectives in the same order; if one only takes long, give "
                "the strategy a longer `timeout`."
            ) from error

    def notes(self) -> Notes | None:
        """Return an empty board beside the operations; None where the processes met elsewhere, and before torch 2.8."""
        if self._store is None or not hasattr(self._store, "clone"):
            return None
        return StoreNotes(f"notes/{next(self._boards)}", self._store)


@final
class StoreNotes:
    """Implements `Notes` in a store, over a connection of its own: another may be waiting on the first one."""

    def __init__(self, name: str, store: Store) -> None:
        self._store = PrefixStore(name, store.clone())  # type: ignore[attr-defined]

    def leave(self, key: str, text: str) -> None:
        """Leave a note for everybody."""
        self._store.set(key, text)

    def found(self, key: str) -> str | None:
        """Return the note, if it was left; at once."""
        return self._store.get(key).decode() if self._store.check([key]) else None


def _gathered(tensor: Tensor, group: Any) -> Tensor:
    tensor = tensor.contiguous()
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, tensor, group=group)
    return torch.stack(parts)


class _Gather(torch.autograd.Function):
    """Gathering through which gradients flow: each rank gets the sum of what all ranks have for its part."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        """Gather."""
        ctx.group = group
        return _gathered(tensor, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum over ranks, and take this rank's part."""
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total[dist.get_rank(ctx.group)], None
