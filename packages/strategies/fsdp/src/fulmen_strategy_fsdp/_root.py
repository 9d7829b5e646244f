"""What is called to train: it gathers the weights that no block of the model gathers for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle


@dataclass(slots=True)
class Standing:
    """What is under way. An object of its own, for setting a module's attributes takes longer."""

    in_step: bool = False
    gathered: bool = False
    """Whether parameters may be whole."""
    synchronises: bool = True
    waiting: bool = False
    """Whether gradients wait, whole, for the end of their window."""
    next_call: RemovableHandle | None = None
    """Waits for the next call of any module."""


class ShardedRoot(nn.Module):
    """Calls the entry within the outermost sharding, which torch expects at the top of what is called.

    The user's own module is not touched by it: its class, names and methods stay. The sharding of a module lasts as
    long as the module, so a later run finds its root again and only exchanges the entry.

    torch expects forward to be over before backward begins. A step that optimises by hand calls backward inside
    forward. Therefore every such loss is passed out of a forward of its own, whose hooks prepare for backward. If the
    step then goes on to call a module, the weights that belong here are gathered again.
    """

    def __init__(self, entry: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self._now = Standing()
        self._losses: list[Tensor] = []
        self._fsdp_modules: tuple[FSDPModule, ...] = ()

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run a step, or return the loss of which backward is about to begin."""
        if self._losses:
            return self._losses.pop()
        self._now.in_step = self._now.gathered = True
        try:
            return self.entry(*inputs, **kwargs)
        finally:
            self._now.in_step = False
            self._forget_next_call()

    @property
    def fsdp_modules(self) -> tuple[FSDPModule, ...]:
        """All modules that gather weights, the outermost first: the same order on every rank."""
        if not self._fsdp_modules:
            self._fsdp_modules = tuple(one for one in self.modules() if isinstance(one, FSDPModule))
        return self._fsdp_modules

    def before_backward(self, loss: Tensor) -> None:
        """Take note of a loss whose gradients are about to be computed."""
        if self._now.in_step:
            self._losses.append(loss)
            self()

    def after_backward(self) -> None:
        """Go on with a step, if one is under way; otherwise backward gave all weights back."""
        self._now.gathered = False
        self._now.waiting = not self._now.synchronises
        if self._now.in_step:
            self._gather_with_next_call()

    def reduce_waiting(self) -> None:
        """Reduce gradients that wait on each rank for the end of their window, so that they are shards as well.

        torch does so at the end of any backward pass; this one has nothing else to do.
        """
        if self._now.waiting:
            with torch.inference_mode(False), torch.enable_grad():
                self._losses.append(torch.zeros((), device=next(self.parameters()).device, requires_grad=True))
                self().backward()
            self._now.gathered = self._now.waiting = False

    def release(self) -> None:
        """Give back gathered weights, so that the parameters are this rank's shards."""
        if self._now.gathered:
            for one in self.fsdp_modules:
                one.reshard()
            self._now.gathered = False

    @contextmanager
    def shards_at_hand(self) -> Iterator[None]:
        """Inside, shards may be read and changed: nothing that was gathered from them before is used afterwards."""
        self.release()
        yield
        if self._now.in_step:
            self._gather_with_next_call()

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients stay whole on each rank and are not reduced."""
        self._synchronise(False)
        try:
            yield
        finally:
            self._synchronise(True)

    def _synchronise(self, wanted: bool) -> None:
        self._now.synchronises = wanted
        for one in self.fsdp_modules:
            one.set_requires_gradient_sync(wanted, recurse=False)

    def _gather_with_next_call(self) -> None:
        """Wait with it until any module is called: until then users see the shards, whose gradients they clear."""
        if self._now.next_call is None:
            self._now.next_call = register_module_forward_pre_hook(self._gather_own)

    def _gather_own(self, module: nn.Module, inputs: Any) -> None:
        self._forget_next_call()
        cast(FSDPModule, self).unshard()
        self._now.gathered = True

    def _forget_next_call(self) -> None:
        if self._now.next_call is not None:
            self._now.next_call.remove()
            self._now.next_call = None
