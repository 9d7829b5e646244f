"""Reading one iterable so that it can be put back, in another process, exactly where it was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol, TypeGuard, runtime_checkable

from torch.utils.data import DataLoader, IterableDataset

from fulmen_core.data._limits import length_of
from fulmen_core.data._position import Draws, OwnState, PassedOver, Position
from fulmen_core.data._probe import draws_in_workers
from fulmen_core.data._stock import Twin, has_live_workers, is_estimate, is_indexed, is_stock, reads_in_this_process
from fulmen_core.random import Snapshot
from fulmen_interfaces import DataError, rank_zero_warn

_END = object()


@runtime_checkable
class StatefulLoader(Protocol):
    """A loader that knows its own position: torchdata's `StatefulDataLoader` and the like."""

    def state_dict(self) -> dict[str, Any]:
        """Return where it is."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next `iter` go on from there."""
        ...


class Reader:
    """Reads one loader, epoch after epoch.

    Coming back to a position restores the generators of the epoch's start and makes the same iterator again; then

    - a loader with `state_dict` and `load_state_dict` goes there by itself;
    - a stock `DataLoader` over a map-style data set leaves out the indices that were read, without reading a sample.
      Worker processes that draw random numbers would draw others then: where that is so (it is tried with one batch,
      in a worker, unless `replay_workers` says it) the batches are read again;
    - everything else is read again up to there.

    What remains inexact: hidden choices that an iterator made from *global* generators of this process between batches,
    interleaved with draws of the training step (a shuffle buffer filled with `torch.randint` while dropout draws on the
    CPU). Samplers and data sets with generators of their own are exact.
    """

    def __init__(self, loader: Any, *, replay_workers: bool | None = None) -> None:
        self.loader = loader
        self._stateful = loader if _comes_back_itself(loader) else None
        self.in_this_process = reads_in_this_process(loader)
        self.knows_length = not is_estimate(loader) and not math.isinf(length_of(loader))
        self._read_from: Iterable[Any] = loader  # or a twin, once persistent workers were started in mid-run
        self._is_iterator = isinstance(loader, Iterator)  # it goes on where it is, also in the next epoch
        self._own = OwnState(loader)
        self._passed_over = PassedOver(self._skips_reading())
        self._touched = False  # whether the loader itself was iterated, or put somewhere, in this process
        self._replay_workers = replay_workers
        self._at = Position()
        self._count = 0
        self._exhausted = False
        self._first: Draws | None = None
        self._unasked: Iterator[Any] | None = None  # of a loader that was told where, until a batch is read

    def __iter__(self) -> Iterator[Any]:
        self._touched = True
        if self._unasked is not None:
            self._pass_by(self._unasked)
        if not self._is_iterator or self._at.start is None:
            self._adopt(Position(start=Draws.take(self._own), warm=has_live_workers(self._read_from)))
        return self._read(iter(self._read_from))

    def position(self) -> Position:
        """Return where it is now: behind the last batch that was read."""
        at = self._at
        # Before an iteration there is nothing new to ask for, and some loaders would begin one to answer.
        state = self._stateful.state_dict() if self._stateful is not None and self._touched else at.loader
        live = has_live_workers(self._read_from)
        return Position(self._count, at.start, self._first, at.warm, live, self._exhausted, state)

    def read_position(self, state: Mapping[str, Any]) -> Position:
        """Return the position that `Position.plain` was called on."""
        return Position.from_plain(state)

    def own_state(self) -> dict[str, Any]:
        """Return what the loader brought along and changed."""
        return self._own.capture()

    def restore_own_state(self, state: Mapping[str, Any]) -> None:
        """Put that back."""
        self._own.restore(state)

    def passed_over(self) -> dict[str, Any]:
        """Return what `resume` to the present position would leave as it is at the epoch's start."""
        return self._passed_over.capture()

    def restore_passed_over(self, state: Mapping[str, Any]) -> None:
        """Put that back."""
        self._passed_over.restore(state)

    def resume(self, position: Position) -> Iterator[Any]:
        """Return the rest of the iteration that was at that position. The generators are left as they come."""
        self._adopt(position)
        if position.start is None:
            return iter(self)
        position.start.restore(self._own)
        return self._read(self._behind(position, position.start))

    def settle(self, position: Position) -> None:
        """Come to a position at which no iteration is open. The generators are left as they come."""
        self._adopt(position)
        if self._is_iterator and position.start is not None:
            self.resume(position)
        elif self._stateful is not None:
            if position.loader is not None:
                self._leave(self._stateful, position.loader, exhausted=position.exhausted)
        elif position.workers and is_stock(self.loader):
            self._workers_draw(0, warm=True)  # warns
            self._read_from = Twin(self.loader, warm=True)

    def _leave(self, loader: StatefulLoader, state: Mapping[str, Any], *, exhausted: bool) -> None:
        """Have the loader go on from that state and leave it there, so that its next iteration begins anew."""
        if isinstance(self.loader, DataLoader):
            if exhausted:  # torchdata's goes to its end at once; without it, its first iterator would draw otherwise
                self._touched = True
                loader.load_state_dict(dict(state))
                iter(self.loader)
            return
        self._touched = True
        loader.load_state_dict(dict(state))
        batch = next(iter(self._read_from), _END)  # a generator does not go there before it is asked
        if exhausted and batch is not _END:  # it had begun anew already
            loader.load_state_dict(dict(state))

    def _pass_by(self, iterator: Iterator[Any]) -> None:
        """Have the loader go where it was told to before it begins anew; a generator does not before it is asked."""
        before = Draws.take(self._own)
        next(iterator, _END)
        before.restore(self._own)
        self._unasked = None

    def _skips_reading(self) -> tuple[Any, ...]:
        """Return the parts that do not work again where what was read is not read again."""
        if self._stateful is not None:
            return (self.loader,)
        if is_indexed(self.loader) and self.in_this_process:
            return (self.loader.dataset, self.loader.collate_fn)
        return ()

    def _adopt(self, position: Position) -> None:
        self._passed_over.look()
        self._at = position
        self._count = position.count
        self._exhausted = position.exhausted
        self._first = position.first

    def _read(self, iterator: Iterator[Any]) -> Iterator[Any]:
        if self._first is None:
            self._first = Draws.take(self._own)
        self._unasked = None
        for batch in iterator:
            self._count += 1
            yield batch
        self._exhausted = True

    def _behind(self, position: Position, start: Draws) -> Iterator[Any]:
        """Return an iterator behind the position's batches; the generators are those of its start."""
        self._touched = True
        if self._stateful is not None and position.loader is not None:
            self._stateful.load_state_dict(dict(position.loader))
            told = iter(self._read_from)
            self._unasked = None if isinstance(self.loader, DataLoader) or self._is_iterator else told
            return told
        if is_indexed(self.loader):
            iterator = None if self._must_replay(position, start) else self._by_index(self.loader, position)
            if iterator is not None:
                return iterator
            start.restore(self._own)
        return self._by_reading(position)

    def _by_reading(self, position: Position) -> Iterator[Any]:
        if position.warm and is_stock(self.loader):
            self._read_from = Twin(self.loader, warm=True)
        iterator = iter(self._read_from)
        self._restore_first(position)
        _check_length(sum(1 for _ in islice(iterator, position.count)), position.count)
        return iterator

    def _by_index(self, loader: DataLoader[Any], position: Position) -> Iterator[Any] | None:
        """Return the iterator, or None where reading comes nearer to what was read."""
        copy = Twin(loader, skip=position.count, warm=position.warm)
        iterator = iter(copy)
        self._restore_first(position)
        copy.tail.advance(1)
        behind_first = Snapshot.take()
        copy.tail.advance()
        if loader.num_workers == 0 and not behind_first.same_as(Snapshot.take()):
            rank_zero_warn(_LAZY_SAMPLER)
            return None
        _check_length(copy.tail.skipped, position.count)
        if copy.persistent_workers:
            self._read_from = copy
        return iterator

    def _restore_first(self, position: Position) -> None:
        if position.first is not None:
            position.first.restore(self._own)

    def _must_replay(self, position: Position, start: Draws) -> bool:
        """Whether worker processes drew random numbers for the batches of this epoch, and can draw them again."""
        if self.in_this_process:
            return False
        draws = self._workers_draw(position.count, warm=position.warm)
        start.restore(self._own)  # finding out drew from it
        return draws and not position.warm

    def _workers_draw(self, skip: int, *, warm: bool) -> bool:
        if self._replay_workers is not None or not is_indexed(self.loader):
            return bool(self._replay_workers)
        draws = draws_in_workers(self.loader, skip, seeds_workers=not warm)
        if draws and warm:
            rank_zero_warn(_PERSISTENT_DRAWS)
        return draws


def _comes_back_itself(loader: Any) -> TypeGuard[StatefulLoader]:
    """Whether to leave it to the loader to find its position again.

    Over a stream without a state of its own, torchdata's can but read again, and counts what it reads so twice.
    """
    reads_again = (
        isinstance(loader, DataLoader)
        and isinstance(loader.dataset, IterableDataset)
        and not hasattr(loader.dataset, "state_dict")
    )
    return isinstance(loader, StatefulLoader) and not reads_again


def _check_length(read: int, wanted: int) -> None:
    if read < wanted:
        raise DataError(
            f"The run is to go on behind batch {wanted} of the training data, which now ends after {read}. Go on with"
            " the data that was given when the checkpoint was saved, or load only its weights."
        )


_LAZY_SAMPLER = (
    "The training data's sampler draws from the global random generators while it is being read, and others draw from"
    " them in between. Its choices cannot be repeated with certainty: this epoch may go on in another order than"
    " without the interruption. Give the sampler a generator of its own, as in"
    " RandomSampler(data, generator=torch.Generator())."
)
_PERSISTENT_DRAWS = (
    "The training data's persistent workers draw random numbers, which depend on all that they read in earlier epochs"
    " and cannot be repeated. The order of the samples goes on exactly, their random changes do not. Set"
    " persistent_workers=False for runs that must go on bit by bit."
)
