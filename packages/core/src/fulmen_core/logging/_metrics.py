"""torchmetrics objects in a module. torchmetrics itself is asked only where the user imported it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


def is_metric(value: object) -> bool:
    """Return whether a value is a torchmetrics metric."""
    torchmetrics = sys.modules.get("torchmetrics")
    return torchmetrics is not None and isinstance(value, torchmetrics.Metric)


def metric_states(module: nn.Module, *, copied: bool = False) -> dict[str, Any]:
    """Return what the metrics in a module have accumulated, by name: a module's own `state_dict` leaves that out.

    With `copied` it stays as it is while the metrics go on; otherwise it is meant to be written at once.
    """
    return {
        name: {"count": metric._update_count, "values": {key: _value(metric, key, copied) for key in metric._defaults}}
        for name, metric in _metrics(module)
    }


def restore_metric_states(module: nn.Module, states: Mapping[str, Any]) -> None:
    """Put back what `metric_states` returned; metrics that are not there any more are left out."""
    for name, metric in _metrics(module):
        state = states.get(name)
        if state is None:
            continue
        metric.reset()
        metric._update_count = state["count"]
        for key, value in state["values"].items():
            if key in metric._defaults:
                setattr(metric, key, _placed(value, metric.device))


def _metrics(module: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, part) for name, part in module.named_modules() if is_metric(part))


def _value(metric: Any, key: str, copied: bool) -> Any:
    value = getattr(metric, key)
    if isinstance(value, Tensor):
        return value.detach().clone() if copied else value.detach()
    return [part.detach() for part in value]


def _placed(value: Any, device: Any) -> Any:
    return value.to(device) if isinstance(value, Tensor) else [part.to(device) for part in value]
