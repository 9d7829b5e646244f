"""The state of training records in checkpoints, so that an epoch's metrics go on where they were."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

import torch
from torch import nn

from fulmen_core.logging._accumulators import make_accumulator
from fulmen_core.logging._policy import LOG_POLICIES
from fulmen_core.logging._record import REDUCTION, Record, RecordOptions
from fulmen_core.logging._recorder import Recorder
from fulmen_interfaces import Hook, rank_zero_warn

_PLAIN = (str, bool, int, float, type(None))


def training_records_state(recorder: Recorder, module: nn.Module) -> list[dict[str, Any]]:
    """Return the training records as tensors and plain values, in the order of their first use.

    Left out are those whose arguments cannot be written down: a process group, or a metric that is not in the module.
    """
    hooks = {
        id(record): scope.hook for scope in recorder.scopes(recorder.training) for record in scope.records.values()
    }
    names = {id(part): name for name, part in module.named_modules()}
    return [
        {
            **_record_state(record, hooks[id(record)]),
            "key": [part if isinstance(part, _PLAIN) else _name_of(part, module) for part in record.key],
            "metric": None if record.metric is None else names[id(record.metric)],
        }
        for record in recorder.training.records
        if (record.metric is None or id(record.metric) in names) and _can_be_written(record.key)
    ]


def restore_training_records(
    recorder: Recorder, module: nn.Module, states: Sequence[Mapping[str, Any]], *, device: torch.device
) -> None:
    """Put records as `training_records_state` returned them in the place of all that are there, on this device."""
    recorder.begin_training()
    placed = [_placed(state, device) for state in states]
    lost = [state["options"]["name"] for state in placed if not _restore_record(recorder, module, state)]
    if lost:
        rank_zero_warn(
            f"What was logged of {', '.join(lost)} since this epoch began cannot be put back: its epoch value will be "
            "that of the rest. Give `reduce_fx` as a word, or as a function that has a name in the module's file."
        )


def _restore_record(recorder: Recorder, module: nn.Module, state: Mapping[str, Any]) -> bool:
    key = list(state["key"])
    if isinstance(key[REDUCTION], Mapping):
        key[REDUCTION] = _function_named(key[REDUCTION]["name"], module)
    metric = dict(module.named_modules()).get(state["metric"])
    if key[REDUCTION] is None or (metric is None) != (state["metric"] is None):
        return False
    accumulator = None
    if state["accumulator"] is not None:
        accumulator = make_accumulator(key[REDUCTION])
        if accumulator is None:
            return False
        accumulator.load_state_dict(state["accumulator"])
    hook = Hook(state["hook"])
    options, shown_at_once = RecordOptions(**state["options"], sync_dist_group=None), LOG_POLICIES[hook].shown_at_once
    record = Record(options, accumulator, metric, shown_at_once=shown_at_once)
    record.key = tuple(key)
    record.last, record.dtype = state["last"], state["dtype"]
    record.updated, record.fresh, record.live = state["updated"], state["fresh"], state["live"]
    recorder.adopt(record, hook)
    return True


def _record_state(record: Record, hook: Hook) -> dict[str, Any]:
    options = record.options
    return {
        "hook": hook.value,
        "options": {f.name: getattr(options, f.name) for f in fields(options) if f.name != "sync_dist_group"},
        "accumulator": record.accumulator.state_dict() if record.accumulator is not None else None,
        "last": record.last,
        "updated": record.updated,
        "fresh": record.fresh,
        "live": record.live,
        "dtype": record.dtype,
    }


def _placed(state: Any, device: torch.device) -> Any:
    """Return the state with its tensors on the device, where the run's further values will be."""
    if isinstance(state, torch.Tensor):
        return state.to(device)
    if isinstance(state, Mapping):
        return {name: _placed(part, device) for name, part in state.items()}
    return [_placed(part, device) for part in state] if isinstance(state, list) else state


def _can_be_written(key: Sequence[Any]) -> bool:
    return all(isinstance(part, _PLAIN) or (at == REDUCTION and callable(part)) for at, part in enumerate(key))


def _name_of(function: Any, module: nn.Module) -> dict[str, str]:
    """Return a name under which `_function_named` finds the function again, if there is one."""
    name = str(getattr(function, "__qualname__", type(function).__qualname__))
    short = name.rpartition(".")[2]
    return {"name": short if _function_named(short, module) is function else name}


def _function_named(name: str, module: nn.Module) -> Callable[..., Any] | None:
    """Return the function that torch, or a file that defines the module, knows by that name.

    Nowhere else is looked: a checkpoint must not be able to name just any function to be called.
    """
    *classes, last = name.split(".")
    for owner in (torch, *(sys.modules.get(cls.__module__) for cls in type(module).__mro__)):
        found: Any = owner
        for part in classes:
            found = getattr(found, part, None)
            found = found if isinstance(found, type) else None
        found = getattr(found, last, None)
        if callable(found):
            return cast(Callable[..., Any], found)
    return None
