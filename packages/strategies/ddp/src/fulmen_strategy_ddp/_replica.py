"""torch's wrapper, so that a step may compute gradients itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fulmen_interfaces import ModuleError, Problem

_UNFINISHED = "Expected to have finished reduction"
"""So torch begins to say that gradients of the step before are still awaited."""
_OPTIONS = sorted(inspect.signature(DistributedDataParallel).parameters.keys() - {"module", "device_ids"})


@final
class Replica(DistributedDataParallel):
    """One rank's copy of the model, called to train.

    torch expects forward to be over before backward begins. A step that optimises by hand calls backward inside
    forward; its gradients are synchronised, too, because `before_backward` tells the reducer of every such loss.
    """

    def __init__(
        self, module: nn.Module, *, names: Mapping[nn.Parameter, str], accumulates: bool = False, **options: Any
    ) -> None:
        super().__init__(module, **options)
        self._names = names
        self._accumulates = accumulates
        self.steps = 0
        """How often it was called to train."""
        self._in_step = False
        self._by_hand = False
        module.register_forward_hook(self._step_is_over)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run a step."""
        self._in_step, self._by_hand = True, False
        if not self.steps and self._accumulates and any(one.grad is not None for one in self.module.parameters()):
            self.require_forward_param_sync = False  # a window goes on, within which each rank keeps its own buffers
        self.steps += 1
        try:
            return super().forward(*inputs, **kwargs)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if str(error).startswith(_UNFINISHED) and not self.find_unused_parameters:
                raise ModuleError(self._unused(str(error))) from error
            raise
        finally:
            self._in_step = False
            if self._by_hand:
                self.require_backward_grad_sync = self.require_forward_param_sync = True

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

    def _unused(self, said: str) -> str:
        """Return what users should know in place of what torch said, which tells parameters by number."""
        trained = [self._names.get(one, "one of no name") for one in self.module.parameters() if one.requires_grad]
        numbers = re.search(r"did not receive grad for rank \d+: ([\d ]+)", said)
        names = [trained[int(number)] for number in numbers[1].split()] if numbers else []
        few = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            f"The loss of the step before did not depend on all parameters{f' ({few})' if few else ''}, so their "
            "gradients were awaited in vain. If that is meant, write strategy='ddp_find_unused_parameters_true', or "
            "DDPStrategy(find_unused_parameters=True), which looks for them in each step. Otherwise use them in the "
            "loss, or set their `requires_grad` to False."
        )


def unknown_options(given: Mapping[str, Any]) -> list[Problem]:
    """Return a problem for each option that DistributedDataParallel does not take, or not from users."""
    reason = "Neither the strategy nor DistributedDataParallel takes it from users."
    remedy = f"Leave it out, or write one of {', '.join(_OPTIONS)}."
    return [Problem(name, value, reason, remedy) for name, value in given.items() if name not in _OPTIONS]
