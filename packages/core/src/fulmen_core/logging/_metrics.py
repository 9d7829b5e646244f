"""torchmetrics objects in a module. torchmetrics itself is asked only where the user imported it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

ListStates = dict[tuple[str, str], tuple[torch.dtype, tuple[int, ...]]]

_CACHES = ("_computed", "_forward_cache")


def is_metric(value: object) -> bool:
    """Return whether a value is a torchmetrics metric."""
    torchmetrics = sys.modules.get("torchmetrics")
    return torchmetrics is not None and isinstance(value, torchmetrics.Metric)


def metrics_of(module: nn.Module) -> dict[str, Any]:
    """Return the metrics in a module by name."""
    return dict(_metrics(module))


def forget_computed(metric: nn.Module) -> None:
    """Let a metric be computed anew, over all processes: some may have computed it already, and others not."""
    for _, part in _metrics(metric):
        part._computed = None


def list_states(metric: nn.Module) -> ListStates:
    """Return type and shape, but for the first dimension, of what a metric's lists hold; empty ones are left out."""
    lists = {(name, key): getattr(part, key) for name, part in _metrics(metric) for key in part._defaults}
    return {
        place: (held[0].dtype, tuple(held[0].shape[1:]))
        for place, held in lists.items()
        if isinstance(held, list) and held and isinstance(held[0], Tensor) and held[0].dim() > 0
    }


def fill_empty_lists(metric: nn.Module, states: ListStates) -> None:
    """Give lists that hold nothing an empty tensor like those that other processes hold.

    torchmetrics would gather one of the default type and one dimension, and read what is not there.
    """
    parts = dict(_metrics(metric))
    for (name, key), (dtype, shape) in states.items():
        held = getattr(parts.get(name), key, None)
        if isinstance(held, list) and not held:
            held.append(torch.empty(0, *shape, dtype=dtype, device=parts[name].device))


def metric_states(module: nn.Module, *, copied: bool = False) -> dict[str, Any]:
    """Return what the metrics in a module have accumulated, by name: a module's own `state_dict` leaves that out.

    Beside their declared states that is whatever a wrapper keeps between epochs: tensors, and numbers of its own, which
    have private names where settings have public ones. With `copied` it stays as it is while the metrics go on;
    otherwise it is meant to be written at once.
    """
    return {
        name: {key: _value(getattr(metric, key), copied) for key in [*metric._defaults, *_kept(metric)]}
        for name, metric in _metrics(module)
    }


def restore_metric_states(module: nn.Module, states: Mapping[str, Any]) -> None:
    """Put back what `metric_states` returned; what is not there any more is left out."""
    for name, metric in _metrics(module):
        if name not in states:
            continue
        metric.reset()
        known = {*metric._defaults, *_kept(metric)}
        for key, value in states[name].items():
            if key in known:
                setattr(metric, key, _placed(value, metric.device))


def _metrics(module: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, part) for name, part in module.named_modules() if is_metric(part))


def _kept(metric: Any) -> list[str]:
    return [
        name
        for name, value in vars(metric).items()
        if name not in metric._defaults
        and name not in _CACHES
        and (isinstance(value, Tensor) or (name.startswith("_") and type(value) in (int, float)))
    ]


def _value(value: Any, copied: bool) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone() if copied else value.detach()
    return [part.detach() for part in value] if isinstance(value, list) else value


def _placed(value: Any, device: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return [part.to(device) for part in value] if isinstance(value, list) else value
