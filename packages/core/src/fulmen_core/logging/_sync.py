"""Reducing logged values over processes: one collective per kind of reduction and flush, however many metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fulmen_core.logging._accumulators import Folded, Value, WeightedSum, reduce_op
from fulmen_core.logging._record import Record
from fulmen_interfaces import Collectives, ReduceOp


def synchronise_steps(records: Sequence[Record], collectives: Collectives) -> None:
    """Reduce the newest step values of `sync_dist` records over all ranks, in place. Call it on every rank."""
    for group, shared in _by_group(records):
        for op in ReduceOp:
            chosen = [record for record in shared if reduce_op(record.reduce_fx) is op]
            values = [record.last for record in chosen if record.last is not None]
            for record, value in zip(chosen, _reduced(values, op, collectives, group), strict=True):
                record.last = value


def synchronise_epoch(records: Sequence[Record], collectives: Collectives) -> None:
    """Reduce what the accumulators of `sync_dist` records hold over all ranks, in place. Call it on every rank."""
    for group, shared in _by_group(records):
        accumulators = [record.accumulator for record in shared]
        _sums([one for one in accumulators if isinstance(one, WeightedSum)], collectives, group)
        folded = [one for one in accumulators if isinstance(one, Folded)]
        for op, numbers in ((ReduceOp.MIN, min), (ReduceOp.MAX, max)):
            extremes = [one for one in folded if one.numbers is numbers]
            values = _reduced([one.compute() for one in extremes], op, collectives, group)
            for extreme, value in zip(extremes, values, strict=True):
                extreme.values = [value]
        _by_functions([one for one in folded if not one.associative], collectives)


def _by_group(records: Sequence[Record]) -> Iterator[tuple[Any, list[Record]]]:
    """Yield the records to be reduced by the process group that they name; what rank zero alone logs is not."""
    shared = [one for one in records if one.options.sync_dist and not one.options.rank_zero_only]
    for group in dict.fromkeys(one.options.sync_dist_group for one in shared):
        yield group, [one for one in shared if one.options.sync_dist_group is group]


def _sums(sums: Sequence[WeightedSum], collectives: Collectives, group: Any) -> None:
    held = [one.folded() for one in sums] + [one.weight for one in sums]
    totals = _reduced(held, ReduceOp.SUM, collectives, group)
    for position, one in enumerate(sums):
        one.replace(totals[position], float(totals[position + len(sums)]))


def _by_functions(folded: Sequence[Folded], collectives: Collectives) -> None:
    """Give every rank all values of all, for a user's own function needs each of them."""
    if not folded:
        return
    gathered = collectives.gather_objects([[float(value) for value in one.values] for one in folded])
    for position, one in enumerate(folded):
        one.values = [value for of_rank in gathered for value in of_rank[position]]


def _reduced(values: Sequence[Value], op: ReduceOp, collectives: Collectives, group: Any) -> list[Value]:
    """Reduce scalars in one collective. Host numbers travel in double precision unless a device value is among them."""
    if not values:
        return []
    device = next((value.device for value in values if isinstance(value, Tensor)), None)
    if device is None:
        return list(collectives.all_reduce(torch.tensor(values, dtype=torch.float64), op, group=group).tolist())
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32, device=device) for value in values])
    return list(collectives.all_reduce(stacked, op, group=group).unbind())
