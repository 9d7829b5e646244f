"""The rank of this process, for code that prints or writes only once per run."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

_log = logging.getLogger("fulmen")
_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "LOCAL_RANK")


def get_rank() -> int:
    """Return this process' rank as launchers and schedulers announce it; 0 where nobody did."""
    for variable in _RANK_VARIABLES:
        value = os.environ.get(variable)
        if value is not None:
            return int(value)
    return 0


@overload
def rank_zero_only(function: Callable[P, R]) -> Callable[P, R | None]: ...
@overload
def rank_zero_only(function: Callable[P, R], default: D) -> Callable[P, R | D]: ...


def rank_zero_only(function: Callable[P, R], default: D | None = None) -> Callable[P, R | D | None]:
    """Make a function do nothing, and return `default`, on every rank but zero."""

    @functools.wraps(function)
    def on_rank_zero(*args: P.args, **kwargs: P.kwargs) -> R | D | None:
        return function(*args, **kwargs) if get_rank() == 0 else default

    return on_rank_zero


def rank_zero_info(message: str) -> None:
    """Log a line at level INFO on rank zero."""
    if get_rank() == 0:
        _log.info(message)


def rank_zero_warn(message: str, category: type[Warning] = UserWarning, stacklevel: int = 3) -> None:
    """Warn on rank zero."""
    if get_rank() == 0:
        warnings.warn(message, category, stacklevel=stacklevel)
