"""Reading the training data epoch after epoch, from any batch on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

from fulmen_core.data._checks import require_batches
from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._epoch import set_epoch
from fulmen_core.data._joint import make_reader
from fulmen_core.data._limits import batches_under_limit, length_of, nothing_to_read
from fulmen_core.data._position import Place
from fulmen_core.data._prefetch import DevicePrefetch
from fulmen_core.random import RandomStates, Snapshot
from fulmen_interfaces import DataError, rank_zero_warn

Backward = Callable[..., Any]

END = object()
"""In the place of a batch: there is none."""


class TrainingCursor:
    """Reads the training data, and can be put back, in another process, exactly where it was.

    Args:
        loader: a DataLoader, a CombinedLoader or anything else to iterate over. It is never changed.
        limit: batches of an epoch (int), or the share of them (float).
        random: the global generators, of which `state_dict` holds the states; without it, those of the host.
        hook: what the data came from, for errors.
        argument: what `limit` came from, for errors.
        replay_workers: whether worker processes draw random numbers, so that batches must be read again to go on behind
            them; None finds it out by reading one batch in a worker, only when it matters.
        prefetch: copies batches to the device while the one in front is used; it is read one batch ahead then.

    Ask `epoch` for each epoch's batches, once, before any hook of that epoch. `is_last` is right before each batch is
    given. With a length, batches are asked for as a plain ``for batch in loader`` would; without one, and with worker
    processes over an IterableDataset, whose length is an estimate, one batch ahead.

    `state_dict` means: behind the last batch that was given. After `load_state_dict`, `epoch` of that epoch goes on
    there, and leaves all random generators as they were when the state was taken; so does `epoch` of a later epoch.
    """

    def __init__(
        self,
        loader: Any,
        *,
        limit: int | float = 1.0,
        random: RandomStates | None = None,
        hook: str = "train_dataloader",
        argument: str = "limit_train_batches",
        replay_workers: bool | None = None,
        prefetch: DevicePrefetch | None = None,
    ) -> None:
        require_batches(loader, f"`{hook}` gave")
        self.loader = loader
        self.is_last = False
        """Whether the batch that was given last ends the epoch."""
        self.batches_read = 0
        """Batches given in this epoch."""
        self._limit = limit
        self._argument = argument
        self._source = make_reader(loader, replay_workers=replay_workers)
        self._prefetch = prefetch
        self._looks_ahead = prefetch is not None or not self._source.knows_length
        self._random = random or RandomStates()
        self._hook = hook
        self._epoch = 0
        self._open = False
        self._ahead: _Ahead | None = None
        self._loaded: dict[str, Any] | None = None
        self._skip = 0
        self.count()

    def count(self) -> None:
        """Look how many batches an epoch has: now, and between two epochs where data may have come or gone."""
        length = length_of(self.loader)
        self.num_batches: int | float = batches_under_limit(length, self._limit, self._argument)
        """Batches of an epoch; `inf` where the loader does not tell."""
        self._cut = self.num_batches < length

    @property
    def is_open(self) -> bool:
        """Whether an epoch was begun and not read to its end."""
        return self._open

    def epoch(self, epoch: int) -> Iterator[Any]:
        """Return that epoch's batches: all of them, or those behind the position that was loaded."""
        loaded = self._loaded
        self._epoch = epoch
        self._ahead = None
        if loaded is not None and loaded["epoch"] == epoch:
            if loaded["open"]:
                return self._go_on(loaded)
            if self.batches_read:  # it was read to its end
                self.settle()
                return iter(())
        self.settle()
        set_epoch(self.loader, epoch)
        batches = self._fresh()
        skip, self._skip = self._skip, 0
        for _ in islice(batches, skip):
            pass
        return batches

    def settle(self) -> None:
        """Come to the position that was loaded, if one was, and begin no epoch: another cursor may read the next one.

        Its loaders may be the same objects, so what they remember is put back here.
        """
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self._source.settle(self._source.read_position(loaded["source"]))
            self._restore_random(loaded)

    def aside(self) -> Iterator[Any]:
        """Return an epoch's batches once more, for who only looks at them: the position stays.

        What random choices are drawn from moves on.
        """
        set_epoch(self.loader, self._epoch)
        batches = self._batches(iter(make_reader(self.loader)))
        return batches if math.isinf(self.num_batches) else islice(batches, int(self.num_batches))

    def skip(self, batches: int) -> None:
        """Let the next `epoch` begin behind that many batches, which are read and left out.

        For checkpoints that hold no position in the data, only a number of batches.
        """
        self._skip = batches

    def state_dict(self) -> dict[str, Any]:
        """Return the position behind the last batch given, and all random states: plain values and tensors."""
        if self._loaded is not None:
            return self._loaded
        ahead = self._ahead
        return {
            "version": 1,
            "epoch": self._epoch,
            "open": self._open,
            "batches_read": self.batches_read,
            "num_batches": self.num_batches,
            "source": (self._source.position() if ahead is None else ahead.position).plain(),
            "ahead": None if ahead is None else ahead.draws(),
            "random": self._random.capture(),
            "own": self._source.own_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next `epoch` go on behind the batch after which `state_dict` was called."""
        if state.get("version") != 1:
            raise DataError(
                f"The data position in this checkpoint has version {state.get('version')!r}, and this release reads"
                " version 1. Go on with the release that wrote it, or load only the weights."
            )
        self._loaded = dict(state)
        self._epoch = state["epoch"]
        self._open = state["open"]
        self.batches_read = state["batches_read"]
        self.is_last = self._open and self.batches_read >= self.num_batches
        if self._open and state["num_batches"] != self.num_batches:
            rank_zero_warn(
                f"An epoch had {state['num_batches']} batches when the checkpoint was saved and has {self.num_batches}"
                f" now. It goes on behind batch {self.batches_read}, counted in the batches of now."
            )

    def _fresh(self) -> Iterator[Any]:
        self.batches_read = 0
        self.is_last = False
        self._open = False
        return self._reading_ahead() if self._looks_ahead else self._reading()

    def _go_on(self, loaded: Mapping[str, Any]) -> Iterator[Any]:
        self._loaded = None
        set_epoch(self.loader, self._epoch)
        batches = self._resumed(loaded)
        self._restore_random(loaded)
        return batches

    def _resumed(self, loaded: Mapping[str, Any]) -> Iterator[Any]:
        position = self._source.read_position(loaded["source"])
        if self._cut and self.batches_read >= self.num_batches:  # nothing more will be asked of this iteration
            self._source.settle(position)
            return self._reading(iter(()))
        batches = self._batches(self._source.resume(position))
        if not self._looks_ahead:
            return self._reading(batches)
        upcoming = END
        if self.batches_read < self.num_batches:
            self._restore_before(loaded)
            upcoming = self._look_ahead(batches)
        self.is_last = upcoming is END
        return self._reading_ahead(batches, upcoming)

    def _reading(self, batches: Iterator[Any] | None = None) -> Iterator[Any]:
        """Give batches as they come."""
        wanted = self.num_batches
        count = self.batches_read
        if count < wanted:
            if batches is None:
                batches = self._begin()
            for batch in batches:
                count += 1
                self.batches_read = count
                self.is_last = count >= wanted
                yield batch
                if count >= wanted:
                    break
        self._end(batches)

    def _reading_ahead(self, batches: Iterator[Any] | None = None, upcoming: Any = END) -> Iterator[Any]:
        """Give batches once it is known whether another one follows."""
        if batches is None and self.num_batches > 0:
            batches = self._begin()
            upcoming = self._look_ahead(batches)
        while batches is not None and upcoming is not END:
            batch = self._finished(upcoming)
            self.batches_read += 1
            if self.batches_read < self.num_batches:
                upcoming = self._look_ahead(batches)
            else:
                self._ahead, upcoming = None, END
            self.is_last = upcoming is END
            yield batch
        self._end(batches)

    def _started(self, batch: Any) -> Any:
        return batch if self._prefetch is None or batch is END else self._prefetch.start(batch)

    def _finished(self, batch: Any) -> Any:
        return batch if self._prefetch is None or batch is END else self._prefetch.finish(batch)

    def _look_ahead(self, batches: Iterator[Any]) -> Any:
        return self._started(self._read_ahead(batches))

    def _read_ahead(self, batches: Iterator[Any]) -> Any:
        # Where reading draws random numbers, they must be the same when this batch is read again after coming back.
        random = Snapshot.take() if self._source.in_this_process else None
        self._ahead = _Ahead(self._source.position(), random, self._source.passed_over())
        return next(batches, END)

    def _begin(self) -> Iterator[Any]:
        self._open = True
        return self._batches(iter(self._source))

    def _batches(self, items: Iterator[Any]) -> Iterator[Any]:
        return map(itemgetter(0), items) if isinstance(self.loader, CombinedLoader) else items

    def _end(self, batches: Iterator[Any] | None) -> None:
        count, wanted = self.batches_read, self.num_batches
        if batches is not None and not self._cut and count >= wanted and next(batches, END) is not END:
            # Asked although no more is wanted: a plain loop does, and a sampler may draw random numbers then.
            rank_zero_warn(f"The data of `{self._hook}` has more batches than the {wanted} that its length promises.")
        self._open = False
        self._ahead = None
        if count == 0 and not (self._cut and wanted == 0):
            raise nothing_to_read(self._hook)
        if count < wanted and self._source.knows_length:
            self._ended_early()

    def _ended_early(self) -> None:
        """Tell that the data gave less than its length promises."""
        rank_zero_warn(
            f"The data of `{self._hook}` gave {self.batches_read} batches where its length promises"
            f" {self.num_batches}: the epoch ends here. Let `__len__` say how many there are, or leave it out."
        )

    def rest(self) -> None:
        """Take note that the epoch is left, perhaps before its end."""

    def weighted(self, backward: Backward | None, default: Backward) -> Backward | None:
        """Return `backward`, or what stands for it (or for the default) where batches count differently."""
        return backward

    def _restore_random(self, loaded: Mapping[str, Any]) -> None:
        self._random.restore(loaded["random"])
        self._source.restore_own_state(loaded["own"])

    def _restore_before(self, loaded: Mapping[str, Any]) -> None:
        """Put back the random states under which the batch was read that comes next."""
        ahead = loaded["ahead"] or {}
        if ahead.get("random") is not None:
            Snapshot.from_plain(ahead["random"]).restore()
        if "passed_over" in ahead:
            self._source.restore_passed_over(ahead["passed_over"])


@dataclass(frozen=True)
class _Ahead:
    """Where the data was before the batch that was read ahead."""

    position: Place
    random: Snapshot | None
    passed_over: Any

    def draws(self) -> dict[str, Any]:
        """Return under which random states it was read, as plain values and tensors."""
        return {"random": self.random and self.random.plain(), "passed_over": self.passed_over}
