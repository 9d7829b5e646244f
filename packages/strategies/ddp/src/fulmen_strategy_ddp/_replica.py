"""torch's wrapper, so that a step may compute gradients itself."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@final
class Replica(DistributedDataParallel):
    """One rank's copy of the model, called to train.

    torch expects forward to be over before backward begins. A step that optimises by hand calls backward inside
    forward; its gradients are synchronised, too, because `before_backward` tells the reducer of every such loss.
    """

    def __init__(self, module: nn.Module, **options: Any) -> None:
        super().__init__(module, **options)
        self.steps = 0
        """How often it was called to train."""
        self._in_step = False
        self._by_hand = False
        module.register_forward_hook(self._step_is_over)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run a step."""
        self._in_step, self._by_hand = True, False
        self.steps += 1
        try:
            return super().forward(*inputs, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            self._in_step = False
            if self._by_hand:
                self.require_backward_grad_sync = True

    def before_backward(self, loss: Tensor) -> None:
        """Take note of a loss whose gradients are about to be computed."""
        if not (self._in_step and self.require_backward_grad_sync):
            return
        self._by_hand = True
        self.reducer.prepare_for_backward([loss] if self.find_unused_parameters else [])

    def _step_is_over(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        if self._by_hand:  # nothing more is to come, and the reducer must not wait for it
            self.require_backward_grad_sync = False
        self._in_step = False
