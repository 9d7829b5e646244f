"""Schedules of learning rates for parameter groups that join an optimizer in the middle of training."""

from __future__ import annotations

from typing import Any

_RATES = ("initial_lr", "max_lr", "min_lr")
"""What schedulers note in a parameter group."""
_RATE_LISTS = ("base_lrs", "max_lrs")
_OTHER_LISTS = ("lr_lambdas", "base_momentums", "max_momentums")


def follow(scheduler: Any, groups: list[dict[str, Any]], index: int) -> None:
    """Let a scheduler go on from the present rate of a parameter group, which it may not have known so far.

    From then on the group's rate is to that of the first one as it is now. Torch's schedulers count groups once, and
    fail at more of them.
    """
    first, group = groups[0], groups[index]
    share = float(group["lr"]) / float(first["lr"] or first.get("initial_lr", 1.0))
    for key, value in first.items():
        if key in _RATES:
            group[key] = value * share
        else:
            group.setdefault(key, value)
    for part in (scheduler, *getattr(scheduler, "_schedulers", ())):
        for rates in _lists(part, _RATE_LISTS):
            rates[index : index + 1] = [rates[0] * share]
        for values in _lists(part, _OTHER_LISTS):
            values[len(values) :] = [values[0]] * (index + 1 - len(values))


def unknown_groups(scheduler: Any, groups: list[dict[str, Any]]) -> range:
    """Return the positions of groups that came after the scheduler was made."""
    part = next(iter(getattr(scheduler, "_schedulers", ())), scheduler)
    return range(len(getattr(part, "base_lrs", groups)), len(groups))


def _lists(scheduler: Any, names: tuple[str, ...]) -> list[list[Any]]:
    """Return what the scheduler keeps by parameter group."""
    return [found for name in names if (found := getattr(scheduler, name, None))]
