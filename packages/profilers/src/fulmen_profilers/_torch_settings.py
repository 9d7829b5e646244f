"""Checks of what users give to the PyTorch profiler, before a run begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch.autograd.profiler_util import EventList
from torch.profiler import profile

from fulmen_interfaces import ConfigurationError, Problem, did_you_mean

_DEVICES = ("cpu", "cuda", "device", "xpu")
_SORT_KEYS = [
    *(f"{prefix}{device}_time_total" for prefix in ("", "self_") for device in _DEVICES),
    *(f"{device}_time" for device in _DEVICES),
    *(f"{prefix}{device}_memory_usage" for prefix in ("", "self_") for device in _DEVICES),
    "count",
]


def check_settings(
    profiler_kwargs: Mapping[str, Any], sort_by_key: str | None, table_kwargs: Mapping[str, Any]
) -> None:
    """Raise ConfigurationError with all that torch would not understand."""
    problems = [
        *_unknown(profiler_kwargs, profile.__init__, "torch.profiler.profile"),
        *_unknown(table_kwargs, EventList.table, "The table of torch.profiler", but=("sort_by", "row_limit")),
    ]
    if sort_by_key is not None and sort_by_key not in _SORT_KEYS:
        reason = f"there is no such column. {did_you_mean(sort_by_key, _SORT_KEYS)}".strip()
        problems.append(Problem("sort_by_key", sort_by_key, reason, f"Columns are {', '.join(_SORT_KEYS)}."))
    plan = profiler_kwargs.get("schedule")
    if plan is not None and not callable(plan):
        remedy = "Give torch.profiler.schedule(wait=1, warmup=1, active=3), or None for the whole run."
        problems.append(Problem("schedule", plan, "it cannot be called with the number of a batch.", remedy))
    if problems:
        raise ConfigurationError(problems)


def _unknown(
    given: Mapping[str, Any], function: Callable[..., Any], owner: str, but: tuple[str, ...] = ()
) -> Iterator[Problem]:
    known = [name for name in inspect.signature(function).parameters if name not in ("self", *but)]
    for name, value in given.items():
        if name in but:
            remedy = "Give `sort_by_key` and `row_limit` to the profiler itself."
            yield Problem(f"table_kwargs[{name!r}]", value, "it has an argument of its own.", remedy)
        elif name not in known:
            reason = f"there is no such argument. {did_you_mean(name, known)}".strip()
            yield Problem(name, value, reason, f"{owner} takes {', '.join(known)}.")
