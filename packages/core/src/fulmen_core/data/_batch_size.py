"""How many samples a batch has: the weight of its metrics in an epoch's mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any

import torch

from fulmen_interfaces import LoggingError, rank_zero_warn

_Get = Callable[[Any], Any]


class BatchSizes:
    """Finds the batch size: the first dimension of the first tensor in a batch that has dimensions; 1 if none has.

    Where that tensor was is remembered by the batch's type, so that only the first batch of a type is searched, and
    checked for tensors that disagree. It is not where None came before, in whose place later batches may have a tensor:
    the size would depend on the batches before, which a resumed run has not seen. One object serves one run.
    """

    def __init__(self) -> None:
        self._sizes: dict[type, Callable[[Any], int]] = {}
        self._warned = False

    def of(self, batch: Any) -> int:
        """Return the number of samples; raises LoggingError where the batch has no tensor."""
        size = self._sizes.get(type(batch))
        if size is not None:
            try:
                return size(batch)
            except (LookupError, AttributeError, TypeError):
                pass  # another batch of this type is built in another way, or its tensor has no dimension
        return self._search(batch)

    def _search(self, batch: Any) -> int:
        leaves = list(_leaves(batch, ()))
        tensors = [(path, leaf) for path, leaf in leaves if leaf is not None]
        if not tensors:
            raise LoggingError(
                f"The batch size was to be taken from a batch of type {type(batch).__name__}, but it holds no tensor."
                " Pass it yourself: self.log(name, value, batch_size=...)."
            )
        sized = [(path, tensor.size(0)) for path, tensor in tensors if tensor.ndim > 0]
        if not sized:
            return 1
        path, size = sized[0]
        if not self._warned and any(other != size for _, other in sized):
            self._warned = True
            sizes = sorted({other for _, other in sized})
            rank_zero_warn(
                f"The tensors of a batch have the first dimensions {sizes}; metrics are weighted with {size}, that of"
                " the first. If this is not the batch size, pass it: self.log(name, value, batch_size=...)."
            )
        if next(leaf for _, leaf in leaves if leaf is None or leaf.ndim > 0) is not None:
            self._sizes[type(batch)] = _size_behind(path)
        return size


def _leaves(value: Any, path: tuple[_Get, ...]) -> Iterator[tuple[tuple[_Get, ...], torch.Tensor | None]]:
    """Yield the tensors of a batch, and the places without one, with the steps that lead to them."""
    if value is None or isinstance(value, torch.Tensor):
        yield path, value
        return
    for step in _steps(value):
        yield from _leaves(step(value), (*path, step))


def _steps(value: Any) -> Iterator[_Get]:
    if isinstance(value, Mapping):
        yield from (itemgetter(name) for name in value)
    elif isinstance(value, (list, tuple)):
        yield from (itemgetter(index) for index in range(len(value)))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (attrgetter(field.name) for field in fields(value) if hasattr(value, field.name))
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, Iterator)) and not hasattr(value, "dtype"):
        yield from (partial(_nth, number) for number, _ in enumerate(value))


def _nth(number: int, value: Iterable[Any]) -> Any:
    return next(islice(value, number, None))


def _size_behind(path: tuple[_Get, ...]) -> Callable[[Any], int]:
    """Return what follows the path and returns the first dimension of what is there."""
    if len(path) == 1:
        step = path[0]
        return lambda value: step(value).shape[0]

    def walk(value: Any) -> int:
        for step in path:
            value = step(value)
        size: int = value.shape[0]
        return size

    return walk
