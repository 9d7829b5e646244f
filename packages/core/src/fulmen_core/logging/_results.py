"""What was logged, as callbacks, progress bar and loggers see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from fulmen_core.logging._accumulators import Value
from fulmen_core.logging._record import Record
from fulmen_core.logging._recorder import RecordGroup
from fulmen_core.logging._sync import synchronise_epoch, synchronise_steps
from fulmen_interfaces import Collectives, RunningStage


class Results:
    """The newest values by key. Training records are read where they lie; epoch values are taken when an epoch ends."""

    def __init__(self) -> None:
        self._callback: dict[str, Tensor] = {}
        self._progress: dict[str, Value] = {}
        self.logged: dict[str, Value] = {}
        """What was last sent to loggers."""
        self._unsent: dict[str, Value] = {}

    def clear(self) -> None:
        """Forget everything, as after a sanity check."""
        self._callback, self._progress, self.logged, self._unsent = {}, {}, {}, {}

    def callback_metrics(self, training: RecordGroup) -> dict[str, Tensor]:
        """Return the newest value of every key; steps of training that runs included."""
        metrics = dict(self._callback)
        for record in _stepped(training.records):
            metrics.update(_step_entries(record))
        return metrics

    def progress_bar_metrics(self, group: RecordGroup) -> dict[str, float]:
        """Return the progress bar's values as numbers; waits for the device if some lie there."""
        metrics = dict(self._progress)
        for record in _stepped(group.records):
            if record.options.prog_bar and record.last is not None:
                metrics[record.options.step_key] = record.last
        return numbers(metrics)

    def take_step(self, group: RecordGroup, collectives: Collectives | None = None) -> dict[str, Value]:
        """Return the loggers' step values that are new since the last time."""
        fresh = [record for record in _stepped(group.records) if record.fresh and record.options.logger]
        for record in fresh:
            record.fresh = False
        values = {record.options.step_key: record.last for record in fresh if record.last is not None}
        return values if collectives is None else synchronise_steps(fresh, values, collectives)

    def publish_epoch(self, group: RecordGroup, stage: RunningStage, collectives: Collectives | None = None) -> None:
        """Reduce what was logged for the epoch, show it to callbacks and progress bar, and hold it for the loggers."""
        if stage is RunningStage.TRAINING:
            self._keep_steps(group.records)
        ended = [record for record in group.records if record.options.on_epoch and record.updated]
        if collectives is not None:
            synchronise_epoch(ended, collectives)
        for record in ended:
            value, options = record.take_epoch_value(), record.options
            tensor = record.as_tensor(value)
            self._callback[options.key] = self._callback[options.epoch_key] = tensor
            if options.prog_bar:
                self._progress[options.epoch_key] = value
            if options.logger:
                self._unsent[options.epoch_key] = value

    def take_unsent(self) -> dict[str, Value]:
        """Return the epoch values that the loggers have not had yet."""
        unsent, self._unsent = self._unsent, {}
        return unsent

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later reads depend on."""
        return {
            "callback": dict(self._callback),
            "progress": dict(self._progress),
            "logged": dict(self.logged),
            "unsent": dict(self._unsent),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._callback, self._progress = dict(state["callback"]), dict(state["progress"])
        self.logged, self._unsent = dict(state["logged"]), dict(state["unsent"])

    def _keep_steps(self, records: Iterable[Record]) -> None:
        """Keep the last step values of an epoch that ends, until others replace them."""
        for record in _stepped(records):
            self._callback.update(_step_entries(record))
            if record.options.prog_bar and record.last is not None:
                self._progress[record.options.step_key] = record.last
            record.last = None


def numbers(values: Mapping[str, Value]) -> dict[str, float]:
    """Return values as Python numbers, with one wait for each device at most."""
    by_device: dict[torch.device, list[str]] = {}
    result: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Tensor):
            by_device.setdefault(value.device, []).append(key)
            result[key] = 0.0  # keeps the order in which the keys were logged
        else:
            result[key] = float(value)
    for keys in by_device.values():
        # float32 suffices for what was computed in it; MPS has nothing wider
        stacked = torch.stack([values[key].detach().to(torch.float32) for key in keys])  # type: ignore[union-attr]
        result.update(zip(keys, stacked.tolist(), strict=True))
    return result


def _stepped(records: Iterable[Record]) -> Iterable[Record]:
    return [record for record in records if record.options.on_step and record.last is not None]


def _step_entries(record: Record) -> dict[str, Tensor]:
    options, tensor = record.options, record.as_tensor(record.last if record.last is not None else 0.0)
    return {options.key: tensor, options.step_key: tensor}
