"""Ranks that have different numbers of training batches, and yet train the same steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import torch

from fulmen_interfaces import Collectives, DataError, ReduceOp, rank_zero_warn

UnevenBatches: TypeAlias = Literal["stop", "zero_weight"]
"""What training does where ranks have different numbers of batches."""


class Idle(Protocol):
    """Who keeps batches that count nothing out of what is recorded."""

    def begin(self) -> None:
        """Such a batch begins."""
        ...

    def stepped(self) -> None:
        """Its step is done."""
        ...

    def end(self) -> None:
        """It is over."""
        ...


class Ranks:
    """How the ranks of a run keep together while they train.

    Args:
        collectives: over all ranks.
        uneven: with ``stop``, an epoch ends for all with the first rank that has no more batches. With
            ``zero_weight`` it ends with the last one: a rank without data repeats its last batch, whose loss counts
            nothing, and those of the others count more, so that gradients are means over the ranks that have data.
        idle: told of batches that count nothing.
    """

    def __init__(self, collectives: Collectives, *, uneven: UnevenBatches = "stop", idle: Idle | None = None) -> None:
        self.collectives = collectives
        self.size = 1
        self.zero_weight = uneven == "zero_weight"
        self._idle = idle
        self.weight = 1.0
        """By what the loss of the present batch is multiplied."""

    def meet(self, batches: int | float, *, certain: bool) -> tuple[int | float, Lockstep | None]:
        """Return the batches of an epoch, the same on all ranks, and what keeps them together where that is needed.

        `batches` are those of this rank, at most where that is not `certain`. Call it on every rank.
        """
        met = self.collectives.gather_objects((batches, certain))
        self.size, known = len(met), all(each for _, each in met)
        lengths = [each for each, _ in met]
        together = max(lengths) if self.zero_weight else min(lengths)
        if known and (len(set(lengths)) == 1 or not self.zero_weight):
            if len(set(lengths)) > 1:
                _tell_lengths(lengths)
            return together, None
        return together, Lockstep(self, [int(each) for each in lengths] if known else None)

    def weigh(self, weight: float) -> None:
        """Let the batch that is given next count so much."""
        if self._idle is not None and self.weight == 0.0:
            self._idle.end()
        self.weight = weight
        if self._idle is not None and weight == 0.0:
            self._idle.begin()

    def weighed(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss of the present batch as it counts."""
        if self.weight == 0.0 and self._idle is not None:
            self._idle.stepped()
        return loss if self.weight == 1.0 else loss * self.weight


class Lockstep:
    """Agrees before each batch on whether there is one: by the numbers, where all are known, else by asking."""

    def __init__(self, ranks: Ranks, lengths: Sequence[int] | None) -> None:
        self._ranks = ranks
        self._lengths = lengths
        self._active = 0
        self._warned = False

    @property
    def by_length(self) -> bool:
        """Whether all ranks told how many batches they have."""
        return self._lengths is not None

    @property
    def repeats(self) -> bool:
        """Whether ranks go on although their data is at its end."""
        return self._ranks.zero_weight

    def begin(self, upcoming: Any, spare: Any, nothing: Any) -> Any:
        """Agree on the first batch that is given now; return what this rank repeats if it has none of its own.

        `spare` is its own last batch, if it was given already; `nothing` stands for no batch.
        """
        here = upcoming is not nothing
        collectives = self._ranks.collectives
        own = upcoming if here else spare
        needs = [(each, lacks) for each, lacks in collectives.gather_objects((here, own is nothing))]
        self._active = sum(each for each, _ in needs)
        if self.repeats and self._active and any(lacks for _, lacks in needs):
            lender = next(rank for rank, (each, _) in enumerate(needs) if each)
            lent = collectives.broadcast(upcoming if here else None, lender)
            return lent if own is nothing else own
        return own

    def goes_on(self) -> bool:
        """Return whether the batch that was agreed upon is trained."""
        return self._active > 0 if self.repeats else self._active == self._ranks.size

    def weigh(self, *, here: bool) -> None:
        """Let the batch count for its share of those that all ranks train now."""
        self._ranks.weigh(self._ranks.size / self._active if here else 0.0)

    def nothing_to_train(self, hook: str) -> DataError:
        """Return the error of an epoch without a batch; all ranks raise it."""
        lacking = self._ranks.size - self._active
        return DataError(
            f"The data of `{hook}` has no batch on {lacking} of {self._ranks.size} ranks, and a training epoch needs at"
            f" least one. Give every rank some data. {'' if self.repeats else _REMEDY}".rstrip()
        )

    def advance(self, number: int, *, here: bool) -> None:
        """Agree on batch `number`, of which this rank has one or not."""
        if self._lengths is not None:
            self._active = sum(length > number for length in self._lengths)
        else:
            flag = torch.tensor([float(here)])
            self._active = round(self._ranks.collectives.all_reduce(flag, ReduceOp.SUM).item())
            self._tell(number)

    def _tell(self, number: int) -> None:
        if self._warned or self.repeats or not 0 < self._active < self._ranks.size:
            return
        self._warned = True
        rank_zero_warn(
            f"The epoch ends after {number} training batches, for {self._ranks.size - self._active} of "
            f"{self._ranks.size} ranks have no more. {_REMEDY}"
        )


def weighing(backward: Callable[..., Any], ranks: Ranks) -> Callable[..., Any]:
    """Return a backward pass in which the loss counts as the ranks have agreed."""

    def weighed(loss: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return backward(ranks.weighed(loss), *args, **kwargs)

    return weighed


def repeatable(batch: Any) -> Any:
    """Return a batch that stays as it is although a step may take things out of the one that it gets."""
    return copy.copy(batch) if isinstance(batch, (dict, list)) else batch


def broke_promise(hook: str, count: int, wanted: int | float) -> DataError:
    """Return the error of data that ends on this rank before the others' ends: they would wait for ever."""
    return DataError(
        f"The data of `{hook}` gave {count} batches on this rank, where its length promises {wanted}. Several processes"
        " train step by step together, so the length must be right. Let `__len__` say how many there are, or leave it"
        " out: then the ranks ask each other."
    )


def _tell_lengths(lengths: Sequence[int | float]) -> None:
    counted = ", ".join("?" if math.isinf(each) else str(each) for each in lengths)
    rank_zero_warn(f"The ranks have {counted} training batches: an epoch ends after {min(lengths)}. {_REMEDY}")


_REMEDY = "Trainer(uneven_batches='zero_weight') goes on until all data was read."
