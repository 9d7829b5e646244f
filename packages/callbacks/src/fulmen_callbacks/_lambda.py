"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fulmen_callbacks._problems import refuse
from fulmen_interfaces import Callback, Hook, Problem, did_you_mean

_HOOKS = frozenset(hook.value for hook in Hook if hook.value in vars(Callback))


class LambdaCallback(Callback):
    """Call a function at a hook: `LambdaCallback(on_train_start=lambda trainer, module: print("go"))`.

    Every hook of `Callback` may be given, by keyword; the function receives what the hook receives.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        refuse(_unknown(name, function) for name, function in hooks.items())
        # as attributes of the object: to the trainer they are overrides, and the hooks not given still cost nothing
        vars(self).update({name: function for name, function in hooks.items() if function is not None})


def _unknown(name: str, function: object) -> Problem | None:
    if name in _HOOKS:
        return None
    remedy = did_you_mean(name, _HOOKS) or f"There are {', '.join(sorted(_HOOKS))}."
    return Problem(name, function, "Callbacks have no such hook.", remedy)
