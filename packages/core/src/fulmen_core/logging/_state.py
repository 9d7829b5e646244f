"""The state of training records in checkpoints, so that an epoch's metrics go on where they were."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import nn

from fulmen_core.logging._accumulators import make_accumulator
from fulmen_core.logging._record import Record, RecordOptions
from fulmen_core.logging._recorder import Recorder
from fulmen_interfaces import Hook

_PLAIN = (str, bool, int, float, type(None))


def training_records_state(recorder: Recorder, module: nn.Module) -> list[dict[str, Any]]:
    """Return the training records as tensors and plain values.

    Left out are records whose arguments are no plain values (a function as `reduce_fx`, a process group): their values
    since the epoch's start are lost on resume.
    """
    return [
        _record_state(record, scope.hook, module)
        for scope in recorder.scopes(recorder.training)
        for record in dict.fromkeys(scope.records.values())
        if all(isinstance(part, _PLAIN) for part in record.key)
    ]


def restore_training_records(recorder: Recorder, module: nn.Module, states: list[dict[str, Any]]) -> None:
    """Put records back as `training_records_state` returned them."""
    modules = dict(module.named_modules())
    for state in states:
        scope = recorder.scope_of(Hook(state["hook"]), recorder.training)
        options = RecordOptions(**state["options"], sync_dist_group=None)
        metric = modules.get(state["metric"]) if state["metric"] is not None else None
        accumulator = make_accumulator(state["key"][5]) if state["accumulator"] is not None else None
        record = Record(options, accumulator, metric)
        record.key = tuple(state["key"])
        record.last, record.updated = state["last"], state["updated"]
        record.fresh, record.live = state["fresh"], state["live"]
        record.dtype = state["dtype"]
        if accumulator is not None:
            accumulator.load_state_dict(state["accumulator"])
        if metric is not None:
            metric.load_state_dict(state["metric_state"], strict=False)
        scope.records[record.key] = record
        scope.names[options.key] = options
        recorder.training.records.append(record)


def _record_state(record: Record, hook: Hook, module: nn.Module) -> dict[str, Any]:
    options = record.options
    name = next((name for name, one in module.named_modules() if one is record.metric), None)
    return {
        "hook": hook.value,
        "key": list(record.key),
        "options": {f.name: getattr(options, f.name) for f in fields(options) if f.name != "sync_dist_group"},
        "accumulator": record.accumulator.state_dict() if record.accumulator is not None else None,
        "last": record.last,
        "updated": record.updated,
        "fresh": record.fresh,
        "live": record.live,
        "dtype": record.dtype,
        "metric": name,
        "metric_state": _metric_state(record.metric) if name is not None else {},
    }


def _metric_state(metric: Any) -> dict[str, Any]:
    """Return a torchmetrics object's accumulated values, which its own `state_dict` leaves out unless asked."""
    metric.persistent(True)
    state: dict[str, Any] = dict(metric.state_dict())
    metric.persistent(False)
    return state
