"""The optimizer as manual optimisation sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from fulmen_core.module._toggle import ToggledParameters

if TYPE_CHECKING:
    from torch.optim import Optimizer


class StepFunction(Protocol):
    """Steps an optimizer through precision and strategy, hooks and counters included."""

    def __call__(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Any:
        """Step and return what the optimizer returned."""
        ...


class LightningOptimizer:
    """What `self.optimizers()` returns: steps through precision and strategy, and counts.

    Everything else (`zero_grad`, `param_groups`, `state`, ...) is the wrapped optimizer's. It passes for an instance of
    that one's class, too: schedulers take it, and `isinstance(optimizer, torch.optim.LBFGS)` tells what it is.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        step: StepFunction,
        siblings: Sequence[Optimizer],
        no_sync: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.optimizer = optimizer
        self._step = step
        self._siblings = siblings
        self._no_sync = no_sync

    @property  # type: ignore[misc]  # nobody assigns it
    def __class__(self) -> type:
        return type(self.__dict__["optimizer"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step once; `closure`, where the optimizer wants one, computes the loss and its gradients anew."""
        return self._step(self.optimizer, closure)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Inside, only this optimizer's parameters require gradients; without `sync_grad` ranks keep theirs."""
        toggled = ToggledParameters(self.optimizer, self._siblings)
        try:
            if sync_grad:
                yield
            else:
                with self._no_sync():
                    yield
        finally:
            toggled.restore()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["optimizer"], name)

    def __repr__(self) -> str:
        return f"LightningOptimizer({self.optimizer!r})"
