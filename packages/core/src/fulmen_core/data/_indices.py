"""Which samples a batch is made of, recorded while a loader asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fulmen_core.data._stock import index_sampler, is_indexed, reading


class IndexRecord:
    """The positions of each batch's samples, by loader; loaders that do not tell them have none.

    Workers ask for indices ahead of the batches they give, so positions wait in order until `advance`.
    """

    def __init__(self) -> None:
        self.present: Sequence[int] | None = None
        """Positions in the data set of the present batch's samples."""
        self._waiting: dict[int, deque[Any]] = {}

    def reading(self, number: int, loader: Any) -> Any:
        """Return what reads the same batches as that loader, and has their indices recorded if that can be."""
        self._waiting.pop(number, None)
        if not is_indexed(loader) or not getattr(loader, "in_order", True):
            return loader
        waiting = self._waiting[number] = deque()
        return reading(loader, _Recorded(index_sampler(loader), waiting), persistent_workers=False)

    def advance(self, number: int) -> None:
        """Come to the next batch of that loader."""
        waiting = self._waiting.get(number)
        self.present = _positions(waiting.popleft()) if waiting else None

    def clear(self) -> None:
        """Forget everything: the pass is over."""
        self.present = None
        self._waiting.clear()


class _Recorded:
    """The indices of another sampler, noted as they are asked for."""

    def __init__(self, sampler: Iterable[Any], waiting: deque[Any]) -> None:
        self._sampler = sampler
        self._waiting = waiting

    def __iter__(self) -> Iterator[Any]:
        for item in self._sampler:
            self._waiting.append(item)
            yield item


def _positions(item: Any) -> list[int] | None:
    """Return positions, where the sampler gave such: of a batch, or of one sample."""
    try:
        indices = list(item) if isinstance(item, Iterable) else [item]
        return [int(index) for index in indices]
    except (TypeError, ValueError):
        return None
