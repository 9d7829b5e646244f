"""Reducing logged values over processes: one exchange per flush, however many metrics, and whoever logged them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from fulmen_core.logging._accumulators import Folded, Value, WeightedSum, reduce_op
from fulmen_core.logging._align import align
from fulmen_core.logging._record import Record
from fulmen_interfaces import Collectives, ReduceOp

ROOM = 128
"""Numbers that the exchange of step values holds; with more metrics there are two."""
_REDUCTIONS: Mapping[ReduceOp, Callable[[Tensor], Tensor]] = {
    ReduceOp.MEAN: lambda values: values.mean(0),
    ReduceOp.SUM: lambda values: values.sum(0),
    ReduceOp.MIN: lambda values: values.amin(0),
    ReduceOp.MAX: lambda values: values.amax(0),
}


def synchronise_steps(records: Sequence[Record], collectives: Collectives) -> None:
    """Reduce the newest step values of `sync_dist` records over all ranks, in place. Call it on every rank.

    Ranks need not have logged the same: what only some have is reduced over those.
    """
    shared = []
    for group, members in _by_group(records):
        if group is None:
            shared = members
        else:
            _steps_within(group, members, collectives)
    mine = torch.tensor([_host(record.last) for record in shared], dtype=torch.float64)
    names = [f"{record.options.step_key} {reduce_op(record.reduce_fx).value}" for record in shared]
    everywhere = _exchange(mine, crc32("\n".join(names).encode()), collectives)
    if everywhere is None:
        _reduce_what_differs(shared, names, collectives)
        return
    for op, reduce in _REDUCTIONS.items():
        places = [place for place, record in enumerate(shared) if reduce_op(record.reduce_fx) is op]
        for place, value in zip(places, reduce(everywhere[:, places]).tolist() if places else (), strict=True):
            shared[place].last = value


def synchronise_epoch(records: Sequence[Record], collectives: Collectives, module: nn.Module | None) -> list[Record]:
    """Reduce what the accumulators of `sync_dist` records hold over all ranks; return what is to be published.

    Ranks need not have logged the same, nor have had a batch at all: there are records for what only others have
    logged, and the torchmetrics objects among the module's parts are computed by all. Call it on every rank.
    """
    for group, members in _by_group(records):
        if group is not None:
            _epoch_within(group, members, collectives)
    return align(records, collectives, module)


def _exchange(values: Tensor, signature: int, collectives: Collectives) -> Tensor | None:
    """Return the values of all ranks, a row for each; None where they are not of the same metrics."""
    count = values.numel()
    message = torch.zeros(ROOM, dtype=torch.float64)
    message[0], message[1] = signature, count
    message[2 : 2 + count] = values[: ROOM - 2]
    received = collectives.all_gather(message)
    if not bool((received[:, :2] == message[:2]).all()):
        return None
    return received[:, 2 : 2 + count] if count <= ROOM - 2 else collectives.all_gather(values)


def _reduce_what_differs(shared: Sequence[Record], names: Sequence[str], collectives: Collectives) -> None:
    held = {name: _host(record.last) for name, record in zip(names, shared, strict=True)}
    everywhere = collectives.gather_objects(held)
    for name, record in zip(names, shared, strict=True):
        values = torch.tensor([of_rank[name] for of_rank in everywhere if name in of_rank], dtype=torch.float64)
        record.last = _REDUCTIONS[reduce_op(record.reduce_fx)](values).item()


def _host(value: Value | None) -> float:
    return float("nan") if value is None else float(value)


def _by_group(records: Sequence[Record]) -> Iterator[tuple[Any, list[Record]]]:
    """Yield the records to be reduced by the process group that they name; what rank zero alone logs is not."""
    shared = [one for one in records if one.options.sync_dist and not one.options.rank_zero_only]
    for group in dict.fromkeys(one.options.sync_dist_group for one in shared):
        yield group, [one for one in shared if one.options.sync_dist_group is group]


def _steps_within(group: Any, records: Sequence[Record], collectives: Collectives) -> None:
    """Reduce step values within a group of the user's own, whose members log alike."""
    for op in ReduceOp:
        chosen = [record for record in records if reduce_op(record.reduce_fx) is op]
        values = [record.last for record in chosen if record.last is not None]
        for record, value in zip(chosen, _reduced(values, op, collectives, group), strict=True):
            record.last = value


def _epoch_within(group: Any, records: Sequence[Record], collectives: Collectives) -> None:
    """Reduce epoch values within a group of the user's own. Functions of the user's stay each rank's own."""
    accumulators = [record.accumulator for record in records]
    sums = [one for one in accumulators if isinstance(one, WeightedSum)]
    held = [one.folded() for one in sums] + [one.weight for one in sums]
    totals = _reduced(held, ReduceOp.SUM, collectives, group)
    for position, one in enumerate(sums):
        one.replace(totals[position], float(totals[position + len(sums)]))
    folded = [one for one in accumulators if isinstance(one, Folded)]
    for op, numbers in ((ReduceOp.MIN, min), (ReduceOp.MAX, max)):
        extremes = [one for one in folded if one.numbers is numbers]
        values = _reduced([one.compute() for one in extremes], op, collectives, group)
        for extreme, value in zip(extremes, values, strict=True):
            extreme.values = [value]


def _reduced(values: Sequence[Value], op: ReduceOp, collectives: Collectives, group: Any) -> list[Value]:
    """Reduce scalars in one collective. Host numbers travel in double precision unless a device value is among them."""
    if not values:
        return []
    device = next((value.device for value in values if isinstance(value, Tensor)), None)
    if device is None:
        return list(collectives.all_reduce(torch.tensor(values, dtype=torch.float64), op, group=group).tolist())
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32, device=device) for value in values])
    return list(collectives.all_reduce(stacked, op, group=group).unbind())
