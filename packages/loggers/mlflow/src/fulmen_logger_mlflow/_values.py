"""Metrics and parameters as MLflow takes them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from fulmen_interfaces import flat_params, rank_zero_warn

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param

Item = TypeVar("Item")

MAX_METRICS = 1000
MAX_PARAMS = 100
_NOT_IN_NAMES = re.compile(r"[^\w/. -]+", re.ASCII)


def metrics_of(values: Mapping[str, float], step: int | None, prefix: str) -> list[Metric]:
    """Return numbers as MLflow's metrics, all of this moment; what is no number is left out with a warning."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = []
    for name, value in values.items():
        if isinstance(value, str):
            rank_zero_warn(f"{name}={value!r} is not logged: MLflow takes numbers as metrics. Log it as a tag.")
            continue
        metrics.append(Metric(allowed_name(f"{prefix}{name}"), float(value), now, step or 0))
    return metrics


def params_of(params: object) -> list[Param]:
    """Return hyper-parameters without nesting, their values as text of the length that MLflow takes."""
    from mlflow.entities import Param
    from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

    flat = flat_params(params)
    return [Param(allowed_name(name), str(value)[:MAX_PARAM_VAL_LENGTH]) for name, value in flat.items()]


def new_params(params: Sequence[Param], known: Mapping[str, str]) -> list[Param]:
    """Return those that a run does not have yet; those that it has otherwise are left out with a warning."""
    changed = [param.key for param in params if known.get(param.key, param.value) != param.value]
    if changed:
        rank_zero_warn(
            f"New values of {', '.join(changed)} are not logged: MLflow never changes the parameters of a run. "
            "Log them in a run of their own."
        )
    return [param for param in params if param.key not in known]


def allowed_name(name: str) -> str:
    """Return the name with `_` for what MLflow does not allow in names."""
    return _NOT_IN_NAMES.sub("_", name)


def in_parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in parts that one request takes."""
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
