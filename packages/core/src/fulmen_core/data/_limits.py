"""How many batches an epoch has."""

from __future__ import annotations

import math
from typing import Any

from torch.utils.data import DataLoader

from fulmen_interfaces import ConfigurationError, DataError, Problem


def length_of(loader: Any) -> int | float:
    """Return how many batches a loader gives, or `inf` where it cannot tell."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return math.inf


def batch_size_of(loader: Any) -> int | None:
    """Return how many samples a full batch has, or None where the loader does not tell."""
    if not isinstance(loader, DataLoader):
        return None
    size = loader.batch_size if loader.batch_sampler is None else getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) else None


def batches_under_limit(length: int | float, limit: int | float, argument: str) -> int | float:
    """Return how many of `length` batches a `limit_*_batches` argument leaves: a number (int) or a share (float).

    Shares are rounded down. Raises ConfigurationError for a share of a loader without a length and for a share that
    leaves no batch.
    """
    if isinstance(limit, int) or limit == 0:
        return min(length, int(limit))
    if math.isinf(length):
        if limit == 1.0:
            return length
        reason = "A share cannot be taken of a loader that does not tell its length."
        raise _problem(argument, limit, reason, f"Give the number of batches instead, as in {argument}=100.")
    batches = int(length * limit)
    if batches == 0 and length > 0:
        reason = f"That share of {length} batches is less than one batch."
        precision = 10 ** (len(str(length)) + 2)
        least = math.ceil(precision / length) / precision  # rounded up, so that it is one batch
        raise _problem(argument, limit, reason, f"Give at least {least}, or the number of batches: {argument}=1.")
    return batches


def _problem(argument: str, value: object, reason: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(argument, value, reason, remedy)])


def nothing_to_read(hook: str) -> DataError:
    """Return the error of a loader that gives no batch."""
    return DataError(
        f"The data of `{hook}` gave no batch, but a training epoch needs at least one. It may be an iterator that an"
        f" earlier epoch used up (return something from `{hook}` that can be read again, such as a DataLoader), a data"
        " set that is empty on this rank, or `drop_last=True` with fewer samples than one batch."
    )
