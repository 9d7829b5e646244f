"""What processes do together, and what only one of them does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from fulmen_core.fabric._base import FabricBase
from fulmen_interfaces import ConfigurationError, Problem, ReduceOp

if TYPE_CHECKING:
    from torch.distributed import ReduceOp as TorchReduceOp

T = TypeVar("T")

_OTHER_WORDS = {"avg": ReduceOp.MEAN, "average": ReduceOp.MEAN}


class ProcessMethods(FabricBase):
    """Collectives, output and logging."""

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Return all ranks' tensors stacked along a new first dimension, in nested collections too. On all ranks.

        Numbers are gathered as tensors. With `sync_grads` gradients flow back into each rank's own.
        """
        session = self._launched("all_gather")
        collectives = session.collectives
        return self._of_tensors(data, lambda one: collectives.all_gather(one, group=group, sync_grads=sync_grads))

    def all_reduce(
        self, data: Any, group: Any = None, reduce_op: str | ReduceOp | TorchReduceOp.RedOpType | None = "mean"
    ) -> Any:
        """Return the "mean", "sum", "min" or "max" over all ranks, in nested collections too. On all ranks."""
        collectives, operation = self._launched("all_reduce").collectives, _operation(reduce_op)
        return self._of_tensors(data, lambda one: collectives.all_reduce(one, operation, group=group))

    def broadcast(self, obj: T, src: int = 0) -> T:
        """Return rank `src`'s object, which must be picklable, on every rank. On all ranks."""
        return self._launched("broadcast").collectives.broadcast(obj, src)

    def barrier(self, name: str | None = None) -> None:
        """Return when every rank has come here. On all ranks."""
        self._launched("barrier").collectives.barrier(name or "fabric.barrier")

    @contextmanager
    def rank_zero_first(self, local: bool = False) -> Iterator[None]:
        """Inside, rank zero goes first (with `local`, that of each machine), the others when it has left the block.

        ::

            with fabric.rank_zero_first():
                dataset = download()
        """
        first = (self.local_rank if local else self.global_rank) == 0
        if not first:
            self.barrier("rank_zero_first")
        try:
            yield
        finally:
            if first:
                self.barrier("rank_zero_first")

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process of each machine."""
        if self.local_rank == 0:
            print(*args, **kwargs)  # noqa: T201

    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Send a number, or a tensor with one element, to all loggers. Rank zero's is written."""
        self.log_dict({name: value}, step)

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send several values to all loggers."""
        self._logging.log(metrics, step)

    def _of_tensors(self, data: Any, operation: Any) -> Any:
        def of_one(leaf: Any) -> Any:
            if isinstance(leaf, Tensor):
                return operation(leaf.to(self.device))
            if isinstance(leaf, (bool, int, float)):
                return operation(torch.tensor(leaf, device=self.device))
            return leaf

        return tree_map(of_one, data)


def _operation(word: str | ReduceOp | TorchReduceOp.RedOpType | None) -> ReduceOp:
    name = "mean" if word is None else str(word).rpartition(".")[2].lower()  # torch's are called RedOpType.SUM
    try:
        return _OTHER_WORDS.get(name) or ReduceOp(name)
    except ValueError:
        reason, remedy = "There is no such reduction.", f"Give one of {', '.join(one.value for one in ReduceOp)}."
        raise ConfigurationError([Problem("reduce_op", word, reason, remedy)]) from None
