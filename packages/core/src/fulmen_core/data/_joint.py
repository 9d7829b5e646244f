"""Reading a `CombinedLoader` so that it can be put back where it was: every loader in it by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._position import Place, Source
from fulmen_core.data._reader import Reader
from fulmen_core.data._walks import Item, Walk
from fulmen_interfaces import DataError


@dataclass(frozen=True)
class JointPosition:
    """Where the reader of several loaders is."""

    readers: tuple[Place, ...]
    walk: Mapping[str, Any] | None
    """None before the first epoch."""

    def plain(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        return {"readers": [reader.plain() for reader in self.readers], "walk": self.walk}


class JointReader:
    """Reads a CombinedLoader, epoch after epoch. The batches come as the CombinedLoader gives them."""

    def __init__(self, loader: CombinedLoader, *, replay_workers: bool | None = None) -> None:
        self.loader = loader
        self._readers: list[Source] = [make_reader(each, replay_workers=replay_workers) for each in loader.flattened]
        self.in_this_process = any(reader.in_this_process for reader in self._readers)
        self.knows_length = all(reader.knows_length for reader in self._readers)
        self._walk: Walk | None = None

    def __iter__(self) -> Iterator[Item]:
        self._walk = self.loader.walk(self._readers)
        return self.loader.shaped(self._walk.start())

    def position(self) -> JointPosition:
        """Return where it is now: behind the last batch that was read."""
        readers = tuple(reader.position() for reader in self._readers)
        return JointPosition(readers, None if self._walk is None else self._walk.position())

    def own_state(self) -> dict[str, Any]:
        """Return what the loaders brought along and changed."""
        return {"readers": [reader.own_state() for reader in self._readers]}

    def restore_own_state(self, state: Mapping[str, Any]) -> None:
        """Put that back."""
        for reader, own in zip(self._readers, state["readers"], strict=True):
            reader.restore_own_state(own)

    def passed_over(self) -> list[Any]:
        """Return what `resume` to the present position would leave as it is at the epoch's start."""
        return [reader.passed_over() for reader in self._readers]

    def restore_passed_over(self, state: Any) -> None:
        """Put that back."""
        for reader, passed_over in zip(self._readers, state, strict=True):
            reader.restore_passed_over(passed_over)

    def resume(self, position: Any) -> Iterator[Item]:
        """Return the rest of the iteration that was at that position. The generators are left as they come."""
        if position.walk is None:
            return iter(self)

        def reopen(number: int, is_open: bool) -> Iterator[Any]:
            reader, place = self._readers[number], position.readers[number]
            if is_open:
                return reader.resume(place)
            reader.settle(place)
            return iter(())

        self._walk = self.loader.walk(self._readers)
        self._walk.resume(position.walk, reopen)
        return self.loader.shaped(self._walk)

    def settle(self, position: Any) -> None:
        """Come to a position at which no iteration is open. The generators are left as they come."""
        for reader, place in zip(self._readers, position.readers, strict=True):
            reader.settle(place)

    def read_position(self, state: Mapping[str, Any]) -> JointPosition:
        """Return the position that `plain` was called on."""
        if len(state.get("readers", ())) != len(self._readers):
            raise DataError(
                f"The checkpoint holds the position in {len(state.get('readers', ())) or 'one loader alone'}, but the"
                f" training data is {len(self._readers)} loaders read together now. Give the loaders that were given"
                " when it was saved, or load its weights only."
            )
        places = (reader.read_position(place) for reader, place in zip(self._readers, state["readers"], strict=True))
        return JointPosition(tuple(places), state["walk"])


def make_reader(loader: Any, *, replay_workers: bool | None = None) -> Source:
    """Return what reads a loader."""
    if isinstance(loader, CombinedLoader):
        return JointReader(loader, replay_workers=replay_workers)
    return Reader(loader, replay_workers=replay_workers)
