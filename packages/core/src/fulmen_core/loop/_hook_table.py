"""Hooks bound once per run: who really implements each, as one call that does nothing where nobody does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fulmen_core.logging import Recorder, RecordGroup
from fulmen_core.loop._profile import Profiling
from fulmen_core.module import LightningModule
from fulmen_interfaces import Callback, CallbackOrder, Hook, TrainerView

HookCall = Callable[..., Any]

_SAVING_HOOKS = frozenset({Hook.ON_TRAIN_BATCH_END, Hook.ON_TRAIN_EPOCH_END, Hook.ON_VALIDATION_END, Hook.ON_TRAIN_END})
"""Hooks in which callbacks that watch or save come after the module: what is saved there holds what the module did."""


def nothing(*args: Any) -> None:
    """Stand in for a hook that nobody implements."""


def in_turn(*calls: HookCall) -> HookCall:
    """Return one call that makes these in turn, with the same arguments; those that do nothing are left out."""
    real = tuple(call for call in calls if call is not nothing)
    if len(real) < 2:
        return real[0] if real else nothing

    def call(*args: Any) -> None:
        for one in real:
            one(*args)

    return call


class HookTable:
    """Makes the calls of one run."""

    def __init__(
        self,
        trainer: TrainerView,
        module: LightningModule,
        callbacks: Sequence[Callback],
        recorder: Recorder,
        profiling: Profiling,
    ) -> None:
        self._trainer = trainer
        self._module = module
        self._callbacks = callbacks
        self._recorder = recorder
        self._profiling = profiling

    def both(self, hook: Hook, group: RecordGroup | None = None) -> HookCall:
        """Return a call of callbacks, then the module, then callbacks that watch or save."""
        return self._call(
            hook, group, self.of_callbacks(hook, late=False), self.of_module(hook), self.of_callbacks(hook, late=True)
        )

    def early(self, hook: Hook, group: RecordGroup | None = None) -> HookCall:
        """Return a call of all that comes up to the module, itself included."""
        return self._call(hook, group, self.of_callbacks(hook, late=False), self.of_module(hook), ())

    def late(self, hook: Hook, group: RecordGroup | None = None) -> HookCall:
        """Return a call of the callbacks that watch or save."""
        return self._call(hook, group, self.of_callbacks(hook, late=True), None, ())

    def module_only(self, hook: Hook, group: RecordGroup | None = None) -> HookCall:
        """Return a call of the module alone, whether it overrides the hook or not."""
        return self._call(hook, group, (), getattr(self._module, hook.value), ())

    def of_module(self, hook: Hook) -> HookCall | None:
        """Return the module's method if it overrides the hook."""
        return overridden(self._module, LightningModule, hook)

    def of_callbacks(self, hook: Hook, *, late: bool) -> tuple[HookCall, ...]:
        """Return the callbacks' methods that override the hook, before or after the module."""
        waits = hook in _SAVING_HOOKS
        chosen = [one for one in self._callbacks if (waits and one.order >= CallbackOrder.MONITOR) == late]
        methods = [(one, overridden(one, Callback, hook)) for one in chosen]
        return tuple(self._profiling.hook(one, hook, method) for one, method in methods if method is not None)

    def _call(
        self,
        hook: Hook,
        group: RecordGroup | None,
        before: tuple[HookCall, ...],
        own: HookCall | None,
        after: tuple[HookCall, ...],
    ) -> HookCall:
        if not before and own is None and not after:
            return nothing
        recorder, trainer, module = self._recorder, self._trainer, self._module
        if own is not None:
            own = self._profiling.hook(module, hook, own)
        scope = recorder.scope_of(hook, recorder.training if group is None else group)

        def call(*args: Any) -> Any:
            recorder.scope = scope
            for method in before:
                method(trainer, module, *args)
            result = own(*args) if own is not None else None
            for method in after:
                method(trainer, module, *args)
            return result

        return call


def overridden(owner: object, base: type, hook: Hook) -> HookCall | None:
    """Return the owner's method if it is not the base's own; the only look-up of hooks by name."""
    name = hook.value
    method: HookCall | None = getattr(owner, name, None)
    if method is None:
        return None
    inherited = getattr(type(owner), name, None) is getattr(base, name, None) and name not in vars(owner)
    return None if inherited else method
