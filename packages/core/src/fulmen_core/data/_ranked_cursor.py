"""Reading training data on several ranks that may have different numbers of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fulmen_core.data._cursor import END, Backward, TrainingCursor
from fulmen_core.data._ranks import Lockstep, Ranks, broke_promise, repeatable, weighing


class RankedCursor(TrainingCursor):
    """A cursor on each of several ranks: all give as many batches. Make it, and ask it for epochs, on all of them.

    Where all ranks know how many batches they have and that is the same, or the least of them decides, nothing is
    agreed upon while an epoch is read. Otherwise it is read one batch ahead.
    """

    def __init__(self, loader: Any, ranks: Ranks, **options: Any) -> None:
        self._ranks = ranks
        self._idle = False  # this rank's data is at its end, and the batch that was given is its last, perhaps again
        super().__init__(loader, **options)

    def count(self) -> None:
        """Look how many batches an epoch has. On all ranks."""
        super().count()
        self._own_batches = self.num_batches
        self.num_batches, self._lockstep = self._ranks.meet(self._own_batches, certain=self._source.knows_length)
        self._cut = self._cut or self.num_batches < self._own_batches

    def rest(self) -> None:
        """Let what follows count in full: the epoch is left, perhaps before its end."""
        self._ranks.weigh(1.0)

    def weighted(self, backward: Backward | None, default: Backward) -> Backward | None:
        """Return a backward pass that weighs each batch, where ranks without data go on."""
        return weighing(backward or default, self._ranks) if self._ranks.zero_weight else backward

    def epoch(self, epoch: int) -> Iterator[Any]:
        """Return that epoch's batches: all of them, or those behind the position that was loaded."""
        self._idle = False
        return super().epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the position behind the last batch given; of one that is given again and again, before it."""
        return {"idle": self._idle, **super().state_dict()}

    def _fresh(self) -> Iterator[Any]:
        batches = super()._fresh()
        return batches if self._lockstep is None else self._reading_together(self._lockstep)

    def _resumed(self, loaded: Mapping[str, Any]) -> Iterator[Any]:
        lockstep = self._lockstep
        if lockstep is None:
            return super()._resumed(loaded)
        position = self._source.read_position(loaded["source"])
        if self.batches_read >= self.num_batches:
            self._source.settle(position)
            return self._in_lockstep(lockstep, iter(()), END, END)
        return self._resumed_together(lockstep, loaded, self._batches(self._source.resume(position)))

    def _ended_early(self) -> None:
        raise broke_promise(self._hook, self.batches_read, self.num_batches)

    def _resumed_together(self, lockstep: Lockstep, loaded: Mapping[str, Any], batches: Iterator[Any]) -> Iterator[Any]:
        self._restore_before(loaded)
        upcoming = last = END
        if loaded.get("idle", False):
            last, self._idle = self._read_ahead(batches), True
            next(batches, END)  # comes to the end
        else:
            upcoming = self._read_own(batches)
        return self._together(lockstep, batches, upcoming, last)

    def _reading_together(self, lockstep: Lockstep) -> Iterator[Any]:
        """Give batches as all ranks have agreed: as many on each."""
        batches = self._begin()
        yield from self._together(lockstep, batches, self._read_own(batches), END)

    def _together(self, lockstep: Lockstep, batches: Iterator[Any], upcoming: Any, last: Any) -> Iterator[Any]:
        """Return batches behind those that were given: all ranks must have come here."""
        last = lockstep.begin(upcoming, last, END)
        self.is_last = self.batches_read >= self.num_batches or not lockstep.goes_on()
        return self._in_lockstep(lockstep, batches, self._started(upcoming), self._finished(self._started(last)))

    def _in_lockstep(self, lockstep: Lockstep, batches: Iterator[Any], upcoming: Any, last: Any) -> Iterator[Any]:
        while lockstep.goes_on() and self.batches_read < self.num_batches:
            here = upcoming is not END
            batch = self._finished(upcoming) if here else last
            last = repeatable(batch)
            lockstep.weigh(here=here)
            self.batches_read += 1
            if here:
                before = self._ahead
                upcoming = self._started(self._read_own(batches))
                if upcoming is END:
                    self._check_promise(lockstep)
                    if lockstep.repeats:  # whoever goes on from here must read this batch again
                        self._ahead, self._idle = before, True
            if self.batches_read < self.num_batches:
                lockstep.advance(self.batches_read, here=upcoming is not END)
            self.is_last = self.batches_read >= self.num_batches or not lockstep.goes_on()
            yield batch
        self.rest()
        self._open = self._idle = False
        self._ahead = None
        if self.batches_read == 0:
            raise lockstep.nothing_to_train(self._hook)

    def _check_promise(self, lockstep: Lockstep) -> None:
        if lockstep.by_length and self.batches_read < self._own_batches:
            raise broke_promise(self._hook, self.batches_read, self._own_batches)

    def _read_own(self, batches: Iterator[Any]) -> Any:
        """Read ahead as far as this rank's limit goes."""
        if self.batches_read < self._own_batches:
            return self._read_ahead(batches)
        self._ahead = None
        return END
