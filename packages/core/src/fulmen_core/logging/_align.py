"""Making processes agree on what was logged in an epoch: one that had no batch has logged nothing."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from fulmen_core.logging._accumulators import Accumulator, Folded, WeightedSum, make_accumulator, reduce_op
from fulmen_core.logging._metrics import ListStates, fill_empty_lists, forget_computed, list_states, metrics_of
from fulmen_core.logging._record import REDUCTION, Record, RecordOptions
from fulmen_interfaces import Collectives, LoggingError

_METRIC, _FUNCTION = "metric", "function"
_Key = tuple[RecordOptions, int]


@dataclass(frozen=True)
class _Held:
    """What one rank has of one record, as it travels."""

    options: RecordOptions
    key: tuple[Any, ...]
    """The arguments of `log`, without functions."""
    number: int
    """Which of those with these options: a name may be logged in several hooks."""
    kind: str
    """mean, sum, min or max; or a function of the user's, or a torchmetrics object."""
    values: tuple[float, ...] = ()
    """A weighted total and its weight, or single values."""
    function: Callable[..., Any] | None = None
    """That of the user's, where it can travel."""
    metric: str | None = None
    """The name of a torchmetrics object in the module, if it is one of its parts."""
    lists: ListStates = field(default_factory=dict)
    """What its lists hold."""


def align(records: Sequence[Record], collectives: Collectives, module: nn.Module | None) -> list[Record]:
    """Return the records to be published, reduced over all ranks, the shared ones in the same order on each.

    For what only others have logged there are new records. One exchange; call it on every rank.
    """
    parts = {} if module is None else metrics_of(module)
    mine = _described(records, {id(metric): name for name, metric in parts.items()})
    everywhere = collectives.gather_objects([held for held, _ in mine.values()])
    merged: dict[_Key, list[_Held]] = {}
    for of_rank in everywhere:
        for held in of_rank:
            merged.setdefault((held.options, held.number), []).append(held)
    known = {key: record for key, (_, record) in mine.items()}
    shared = [_merged(known.get(key), held, len(everywhere), parts) for key, held in merged.items()]
    return [*(record for record in records if not _is_aligned(record)), *shared]


def _described(records: Sequence[Record], names: Mapping[int, str]) -> dict[_Key, tuple[_Held, Record]]:
    mine: dict[_Key, tuple[_Held, Record]] = {}
    seen: Counter[RecordOptions] = Counter()
    for record in records:
        if _is_aligned(record):
            number = seen[record.options]
            seen[record.options] += 1
            mine[record.options, number] = (_describe(record, number, names), record)
    return mine


def _is_aligned(record: Record) -> bool:
    """Return whether a record is reduced over all processes of the run. torchmetrics objects always are: they do it."""
    options = record.options
    if options.rank_zero_only or options.sync_dist_group is not None:
        return False
    return record.metric is not None or (options.sync_dist and record.accumulator is not None)


def _describe(record: Record, number: int, names: Mapping[int, str]) -> _Held:
    accumulator = record.accumulator
    word, values, function, metric = _FUNCTION, [], None, None
    if record.metric is not None:
        word, metric = _METRIC, names.get(id(record.metric))
    elif isinstance(accumulator, WeightedSum):
        word, values = "mean" if accumulator.mean else "sum", [accumulator.folded(), accumulator.weight]
    elif isinstance(accumulator, Folded):
        if accumulator.associative:
            word = reduce_op(record.reduce_fx).value
        elif _travels(accumulator.fold):
            function = accumulator.fold
        values = [accumulator.compute()] if accumulator.associative else accumulator.values
    key = tuple(word if place == REDUCTION else part for place, part in enumerate(record.key))
    lists = {} if record.metric is None else list_states(record.metric)
    return _Held(record.options, key, number, word, tuple(float(value) for value in values), function, metric, lists)


def _merged(record: Record | None, held: Sequence[_Held], ranks: int, parts: Mapping[str, Any]) -> Record:
    """Return this rank's record with the values of all, or a new one."""
    if held[0].kind == _METRIC:
        metric = _part(held[0], parts) if len(held) < ranks else None
        record = record or _new_record(held[0], None, metric)
        forget_computed(record.metric)
        for one in held:
            fill_empty_lists(record.metric, one.lists)
        return record
    if record is None:
        function = next((one.function for one in held if one.function is not None), None)
        record = _new_record(held[0], make_accumulator(function or held[0].kind), None)
    _replace(record.accumulator, [one.values for one in held])
    return record


def _new_record(held: _Held, accumulator: Accumulator | None, metric: Any) -> Record:
    record = Record(held.options, accumulator, metric)
    record.key = held.key
    record.updated = accumulator is not None or metric is not None  # a function that did not come reduces nothing
    return record


def _travels(function: Callable[..., Any]) -> bool:
    """Whether other processes find the same function: a lambda has no name by which they could."""
    try:
        pickle.dumps(function)
    except Exception:  # pickle raises what it likes
        return False
    return True


def _replace(accumulator: Accumulator | None, values: Sequence[tuple[float, ...]]) -> None:
    if isinstance(accumulator, WeightedSum):
        accumulator.replace(sum(one[0] for one in values), sum(one[1] for one in values))
    elif isinstance(accumulator, Folded):
        accumulator.values = [value for one in values for value in one]


def _part(held: _Held, parts: Mapping[str, Any]) -> Any:
    """Return the part of the module that some ranks logged: the others take part in computing it."""
    metric = None if held.metric is None else parts.get(held.metric)
    if metric is None:
        raise LoggingError(
            f"`self.log({held.options.name!r}, ...)` was given a torchmetrics object on some ranks only, and it is not "
            "among the module's parts, where the others would find it. Assign it in `__init__`, as in "
            "`self.accuracy = Accuracy(...)`, or log it on every rank."
        )
    return metric
