"""Binding a step once: which callable runs it, through which wrapper, in which context, with which arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import nn

from fulmen_core.module import LightningModule
from fulmen_interfaces import Hook, ModuleError, PreparedModel

StepCall = Callable[..., Any]
_ITERATOR = "dataloader_iter"
"""An argument of this name stands for all the others."""


class StepEntry(nn.Module):
    """What strategies wrap: a module whose `forward` runs any step of the user's module."""

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, step: Hook, *args: Any) -> Any:
        """Run one step."""
        if step is Hook.TRAINING_STEP:
            return self.module.training_step(*args)
        if step is Hook.VALIDATION_STEP:
            return self.module.validation_step(*args)
        if step is Hook.TEST_STEP:
            return self.module.test_step(*args)
        return self.module.predict_step(*args)


def bind_step(step: Hook, entry: StepEntry, prepared: PreparedModel, *, loaders: int = 1, extra: int = 0) -> StepCall:
    """Return what the loop calls with `(batch, batch_idx[, dataloader_idx])`.

    Where the strategy wraps nothing this is the user's own method. A step may leave out `batch_idx`; `dataloader_idx`
    is given only where there are several loaders, and `extra` further arguments (an optimizer's index) always. A step
    that requires an index although there is one loader, or one optimizer, gets 0. A step with an argument
    `dataloader_iter` gets an iterator over `(batch, batch_idx, dataloader_idx)` instead.
    """
    own: StepCall = getattr(entry.module, step.value)
    wrapper = prepared.training_module if step is Hook.TRAINING_STEP else prepared.evaluation_module
    call = own if wrapper is entry else partial(wrapper, step)
    wanted = 2 + extra + (1 if loaders > 1 else 0)
    accepted = accepted_arguments(own)
    if _ITERATOR in inspect.signature(own).parameters:
        call = _from_iterator(call, step)
    elif loaders > 1 and accepted < wanted:
        raise ModuleError(
            f"There are {loaders} loaders, but `{type(entry.module).__name__}.{step}` takes no `dataloader_idx`. "
            f"Define `{step}(self, batch, batch_idx, dataloader_idx=0)`."
        )
    elif accepted < 2 and wanted == 2:
        call = _batch_only(call)
    elif _required_arguments(own) == 3 and wanted == 2:
        call = _of_the_only_one(call)
    context = prepared.forward_context
    return call if context is None else _within(call, context)


def accepted_arguments(function: StepCall) -> int:
    """Return how many positional arguments a bound method takes; many where it takes `*args`."""
    if any(one.kind is one.VAR_POSITIONAL for one in inspect.signature(function).parameters.values()):
        return 99
    return len(_positional(function))


def _required_arguments(function: StepCall) -> int:
    return sum(one.default is one.empty for one in _positional(function))


def _positional(function: StepCall) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def _batch_only(step: StepCall) -> StepCall:
    def call(batch: Any, batch_idx: int) -> Any:
        return step(batch)

    return call


def _of_the_only_one(step: StepCall) -> StepCall:
    def call(batch: Any, batch_idx: int) -> Any:
        return step(batch, batch_idx, 0)

    return call


def _from_iterator(step: StepCall, hook: Hook) -> StepCall:
    def call(batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return step(_OneBatch(hook, batch, batch_idx, dataloader_idx))

    return call


class _OneBatch(Iterator[tuple[Any, int, int]]):
    """What a step with `dataloader_iter` reads from: the batch that it is called for."""

    def __init__(self, hook: Hook, *item: Any) -> None:
        self._hook = hook
        self._items = [item]

    def __next__(self) -> tuple[Any, int, int]:
        if not self._items:
            raise ModuleError(
                f"`{self._hook}` took a second batch from `{_ITERATOR}`, which gives one for each call. Let the loader "
                "give larger batches, or set accumulate_grad_batches."
            )
        return self._items.pop()


def _within(step: StepCall, context: Callable[[], Any]) -> StepCall:
    def call(*args: Any) -> Any:
        with context():
            return step(*args)

    return call
