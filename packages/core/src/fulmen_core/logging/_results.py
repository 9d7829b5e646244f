"""What was logged, as callbacks, progress bar and loggers see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fulmen_core.logging._accumulators import Value
from fulmen_core.logging._record import Record
from fulmen_core.logging._recorder import RecordGroup
from fulmen_core.logging._sync import synchronise_epoch, synchronise_steps
from fulmen_interfaces import Collectives


class Results:
    """The newest values by key.

    Step values are read where they lie, in the records, until they are settled here: when something else that may log
    under the same keys begins, so that whatever comes later wins.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, as after a sanity check."""
        self._callback: dict[str, Tensor] = {}
        self._logged: dict[str, Tensor] = {}
        self._progress: dict[str, Value] = {}
        self._unsent: dict[str, Value] = {}
        self._evaluation = RecordGroup()
        """Whose values for the epoch were taken last."""

    def callback_metrics(self, training: RecordGroup) -> dict[str, Tensor]:
        """Return the newest value of every key. Step values of an evaluation are not among them."""
        metrics = dict(self._callback)
        ended = [record for record in self._evaluation.records if record.shown_at_once]
        for record, value in _live((*training.records, *ended)):
            metrics[record.options.key] = metrics[record.options.step_key] = record.as_tensor(value)
        return metrics

    def logged_metrics(self, *groups: RecordGroup) -> dict[str, Tensor]:
        """Return the newest value of every key that goes to loggers, written yet or not."""
        metrics = dict(self._logged)
        for group in groups:
            for record, value in _live(group.records):
                if record.options.logger:
                    metrics[record.options.step_key] = record.as_tensor(value)
        return metrics

    def progress_bar_metrics(self, *groups: RecordGroup) -> dict[str, float]:
        """Return the progress bar's values as numbers; waits for the device if some lie there."""
        metrics = dict(self._progress)
        for group in groups:
            for record, value in _live(group.records):
                if record.options.prog_bar:
                    metrics[record.options.step_key] = value
        return numbers(metrics)

    def settle(self, group: RecordGroup) -> None:
        """Keep the newest step values, until others come under their keys."""
        if group.training:
            self._callback = self.callback_metrics(group)
        self._logged = self.logged_metrics(group)
        for record, value in _live(group.records):
            if record.options.prog_bar:
                self._progress[record.options.step_key] = value
        for record in group.records:
            record.live = False

    def take_step(self, group: RecordGroup, collectives: Collectives | None = None) -> dict[str, Value]:
        """Return the loggers' step values that are new since the last time."""
        logged = [one for one in group.records if one.options.on_step and one.options.logger]
        fresh = [one for one in logged if one.fresh and one.last is not None]
        if collectives is not None:
            synchronise_steps(fresh, collectives)
        for record in fresh:
            record.fresh = False
        return {record.options.step_key: record.last for record in fresh if record.last is not None}

    def publish_epoch(
        self, group: RecordGroup, collectives: Collectives | None = None, module: nn.Module | None = None
    ) -> None:
        """Reduce what was logged for the epoch, show it to everybody, and hold it for the loggers.

        With `collectives` over all ranks, which find torchmetrics objects that only others logged in the module.
        """
        self.settle(group)
        if not group.training:
            self._evaluation = group
        for record in group.records:
            record.last = None
        ended = [record for record in group.records if record.options.on_epoch and record.updated]
        if collectives is not None:
            ended = synchronise_epoch(ended, collectives, module)
            group.borrowed += [record for record in ended if record not in group.records]
        for record in ended:
            if not record.updated:
                continue
            value, options = record.take_epoch_value(alone=collectives is None), record.options
            tensor = record.as_tensor(value)
            self._callback[options.key] = self._callback[options.epoch_key] = tensor
            if options.prog_bar:
                self._progress[options.epoch_key] = value
            if options.logger:
                self._logged[options.epoch_key] = tensor
                self._unsent[options.epoch_key] = value

    def reset_metrics(self, group: RecordGroup) -> None:
        """Let logged torchmetrics objects start anew, now that nobody needs this epoch's values any more."""
        for record in (*group.records, *group.borrowed):
            if record.metric is not None:
                record.metric.reset()
                record.updated = False
        if group.training:
            group.borrowed.clear()

    def take_unsent(self) -> dict[str, Value]:
        """Return the epoch values that the loggers have not had yet."""
        unsent, self._unsent = self._unsent, {}
        return unsent

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later reads depend on."""
        return {
            "callback": dict(self._callback),
            "logged": dict(self._logged),
            "progress": dict(self._progress),
            "unsent": dict(self._unsent),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._callback, self._logged = dict(state["callback"]), dict(state["logged"])
        self._progress, self._unsent = dict(state["progress"]), dict(state["unsent"])


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


def _live(records: Iterable[Record]) -> Iterable[tuple[Record, Value]]:
    return [(record, record.last) for record in records if record.live and record.last is not None]
