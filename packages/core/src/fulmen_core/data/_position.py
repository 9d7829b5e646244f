"""Where a reader is, in values that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fulmen_core.data._remembered import Remembered
from fulmen_core.random import Snapshot, capture_generators, find_generators, generator_states, restore_generators
from fulmen_interfaces import DataError


class OwnState:
    """What one loader brings along and changes while it is read: generators, and what its parts remember."""

    def __init__(self, loader: object) -> None:
        self._loader = loader
        self._remembered = Remembered(loader)

    def capture(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        return {"generators": capture_generators(self._loader), "remembered": self._remembered.capture()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put it back to what `capture` returned."""
        restore_generators(self._loader, state["generators"])
        self._remembered.restore(state["remembered"])


class PassedOver:
    """The generators of a loader that do not move where it comes to a position without reading what lies before.

    Who reads one batch ahead must know their states before that batch, to read it once more.
    """

    def __init__(self, parts: object) -> None:
        self._parts = parts
        self._found: Mapping[str, Any] = {}

    def look(self) -> None:
        """Find them: once in an epoch, for it takes long."""
        self._found = find_generators(self._parts)

    def capture(self) -> dict[str, Any]:
        """Return their states as plain values and tensors."""
        return generator_states(self._found)

    def restore(self, states: Mapping[str, Any]) -> None:
        """Put them into those states."""
        restore_generators(self._parts, states)


@dataclass(frozen=True)
class Draws:
    """All that decides what is read, at one moment: the global generators and the loader's own state."""

    shared: Snapshot
    own: Mapping[str, Any]

    @classmethod
    def take(cls, own: OwnState) -> Draws:
        """Return the states of now."""
        return cls(Snapshot.take(), own.capture())

    def restore(self, own: OwnState) -> None:
        """Put everything back."""
        self.shared.restore()
        own.restore(self.own)

    def plain(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        return {"shared": self.shared.plain(), "own": dict(self.own)}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any] | None) -> Draws | None:
        """Return what `plain` was called on."""
        return None if state is None else cls(Snapshot.from_plain(state["shared"]), state["own"])


@dataclass(frozen=True)
class Position:
    """Where a reader is."""

    count: int = 0
    """Batches read since `start`."""
    start: Draws | None = None
    """The generators before the iterator was made; None before the first."""
    first: Draws | None = None
    """The generators before its first batch was asked for; None before that."""
    warm: bool = False
    """Whether persistent workers were running when the iterator was made."""
    workers: bool = False
    """Whether they are running now."""
    exhausted: bool = False
    """Whether the iterator came to its end."""
    loader: Mapping[str, Any] | None = None
    """The state of a loader that knows its own position."""

    def plain(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        return {**vars(self), "start": self.start and self.start.plain(), "first": self.first and self.first.plain()}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Position:
        """Return what `plain` was called on."""
        if "count" not in state:
            raise DataError(
                "The checkpoint holds the position in several loaders read together, but the training data is one"
                " loader now. Give the loaders that were given when it was saved, or load its weights only."
            )
        return cls(**{**state, "start": Draws.from_plain(state["start"]), "first": Draws.from_plain(state["first"])})


class Place(Protocol):
    """A position of a `Source`."""

    def plain(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        ...


class Source(Protocol):
    """Something that is read epoch after epoch, and can be put back to where it was. Positions are the source's own."""

    in_this_process: bool
    """Whether reading may draw from this process' generators."""
    knows_length: bool
    """Whether its length is known, and right."""

    def __iter__(self) -> Iterator[Any]: ...

    def position(self) -> Any:
        """Return where it is now: behind the last batch that was read. Cheap enough to be called for every batch."""
        ...

    def read_position(self, state: Mapping[str, Any]) -> Any:
        """Return the position of which this is the plain form."""
        ...

    def own_state(self) -> dict[str, Any]:
        """Return what its loaders brought along and changed, as plain values and tensors."""
        ...

    def restore_own_state(self, state: Mapping[str, Any]) -> None:
        """Put that back."""
        ...

    def passed_over(self) -> Any:
        """Return what `resume` to the present position would leave as it is at the epoch's start."""
        ...

    def restore_passed_over(self, state: Any) -> None:
        """Put that back."""
        ...

    def resume(self, position: Any) -> Iterator[Any]:
        """Return the rest of the iteration that was at that position. The generators are left as they come."""
        ...

    def settle(self, position: Any) -> None:
        """Come to a position at which no iteration is open. The generators are left as they come."""
        ...
