"""Making processes agree on what was logged: one that had no batch has logged nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fulmen_core.logging._accumulators import Folded, WeightedSum, make_accumulator, reduce_op
from fulmen_core.logging._record import Record, RecordOptions
from fulmen_interfaces import Collectives, ReduceOp


@dataclass(frozen=True)
class _Logged:
    """A shared record of some rank: enough for another one to take part in its reduction."""

    options: RecordOptions
    number: int
    """Which of those with these options: a name may be logged in several hooks."""
    word: str | None
    """How its values become one; None: by a function of the user's, which cannot travel."""
    device: str | None
    """Where its values lie; None: in host memory."""


def align(records: Sequence[Record], collectives: Collectives) -> list[Record]:
    """Return the records to be published, the shared ones in the same order on every rank.

    For what only others have logged there are empty records, so that all ranks take part in the same reductions and
    end with the same values. Call it on every rank.
    """
    mine: dict[tuple[RecordOptions, int], tuple[_Logged, Record]] = {}
    seen: Counter[RecordOptions] = Counter()
    for record in records:
        if is_aligned(record):
            number = seen[record.options]
            seen[record.options] += 1
            mine[record.options, number] = (_describe(record, number), record)
    everywhere = collectives.gather_objects([logged for logged, _ in mine.values()])
    merged = {(one.options, one.number): one for of_rank in everywhere for one in of_rank}
    shared = [mine[key][1] if key in mine else _empty(logged) for key, logged in merged.items()]
    return [*(record for record in records if not is_aligned(record)), *shared]


def is_aligned(record: Record) -> bool:
    """Return whether a record is reduced over all processes of the run."""
    options = record.options
    whole_world = options.sync_dist and not options.rank_zero_only and options.sync_dist_group is None
    return whole_world and record.accumulator is not None


def _describe(record: Record, number: int) -> _Logged:
    accumulator = record.accumulator
    if isinstance(accumulator, WeightedSum):
        held = accumulator.folded()
        word = "mean" if accumulator.mean else "sum"
        return _Logged(record.options, number, word, str(held.device.type) if isinstance(held, Tensor) else None)
    known = isinstance(accumulator, Folded) and accumulator.numbers is not None
    values = accumulator.values if isinstance(accumulator, Folded) else []
    device = next((value.device.type for value in values if isinstance(value, Tensor)), None)
    return _Logged(record.options, number, reduce_op(record.reduce_fx).value if known else None, device)


def _empty(logged: _Logged) -> Record:
    """Return a record that adds nothing to the others' values."""
    accumulator = make_accumulator(logged.word or torch.mean)
    if logged.word is None:
        accumulator = Folded(torch.mean)
    if isinstance(accumulator, WeightedSum):
        accumulator.total = 0.0 if logged.device is None else torch.zeros((), device=logged.device)
    elif isinstance(accumulator, Folded) and logged.word is not None:
        bound = float("inf") if logged.word == ReduceOp.MIN.value else float("-inf")
        accumulator.values = [bound if logged.device is None else torch.tensor(bound, device=logged.device)]
    record = Record(logged.options, accumulator)
    record.updated = logged.word is not None  # a function that is not here can reduce nothing
    return record
