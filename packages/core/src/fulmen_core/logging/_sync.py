"""Reducing logged values over processes: one collective per kind of reduction and flush, however many metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fulmen_core.logging._accumulators import Folded, Value, WeightedSum
from fulmen_core.logging._record import Record
from fulmen_interfaces import Collectives, ReduceOp


def synchronise_steps(records: Sequence[Record], collectives: Collectives) -> None:
    """Average the newest step values of `sync_dist` records over all ranks, in place. Call it on every rank."""
    shared = [record for record in records if record.options.sync_dist]
    means = _reduced([record.last for record in shared if record.last is not None], ReduceOp.MEAN, collectives)
    for record, mean in zip(shared, means, strict=True):
        record.last = mean


def synchronise_epoch(records: Sequence[Record], collectives: Collectives) -> None:
    """Reduce what the accumulators of `sync_dist` records hold over all ranks, in place. Call it on every rank."""
    shared = [record for record in records if record.options.sync_dist and record.accumulator is not None]
    sums = [record.accumulator for record in shared if isinstance(record.accumulator, WeightedSum)]
    totals = _reduced([one.folded() for one in sums] + [one.weight for one in sums], ReduceOp.SUM, collectives)
    for position, one in enumerate(sums):
        one.replace(totals[position], float(totals[position + len(sums)]))
    for op, numbers in ((ReduceOp.MIN, min), (ReduceOp.MAX, max)):
        extremes = [
            record.accumulator
            for record in shared
            if isinstance(record.accumulator, Folded) and record.accumulator.numbers is numbers
        ]
        reduced = _reduced([one.compute() for one in extremes], op, collectives)
        for extreme, value in zip(extremes, reduced, strict=True):
            extreme.values = [value]


def _reduced(values: Sequence[Value], op: ReduceOp, collectives: Collectives) -> list[Value]:
    """Reduce scalars in one collective. Host numbers travel in double precision unless a device value is among them."""
    if not values:
        return []
    device = next((value.device for value in values if isinstance(value, Tensor)), None)
    if device is None:
        return list(collectives.all_reduce(torch.tensor(values, dtype=torch.float64), op).tolist())
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32, device=device) for value in values])
    return list(collectives.all_reduce(stacked, op).unbind())
