"""Stage 3: bringing the weights together for an evaluation, and back to the user's module in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

_OF_HOOKS = ("pre_bwd_fn", "post_bwd_fn", "applied_pre_backward_ref_cnt")
"""What hooks leave in a module; it would lead the hooks of a later run to this one's engine."""
_OF_PARAMETERS = ("_external_params", "_original_parameters", "external_parameters", "all_parameters")
"""What the division of a module's parameters leaves in it."""


@final
class Gathering:
    """The hooks that bring a module's weights together just before it runs, and what takes their place at times.

    These hooks communicate at every call. In an evaluation ranks may have different numbers of batches, so there the
    weights are gathered once, for all of it.
    """

    def __init__(self, engine: Any, *, enabled: bool) -> None:
        self.enabled = enabled
        self._engine = engine
        self._open = 0

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, all weights are whole on every rank, and no hook communicates. Entered and left by all ranks."""
        if self._open:
            yield
            return
        from deepspeed.runtime.zero import GatheredParameters

        offload = self._offload()
        offload.destroy()  # removes the hooks, and nothing else
        _forget(offload)
        self._open += 1
        gathered = GatheredParameters(list(self._engine.module.parameters()))
        with torch.inference_mode(False), torch.no_grad():  # what is gathered must be an ordinary tensor
            gathered.__enter__()
        try:
            yield
        finally:
            with torch.inference_mode(False), torch.no_grad():
                gathered.__exit__(None, None, None)
            self._open -= 1
            offload.setup_zero_stage3_hooks()

    def remove_hooks(self) -> None:
        """Let modules and parameters run as if there were no engine."""
        engine, zero = self._engine, self._engine.optimizer
        own = (engine.module_forward_pre_hook, engine.module_forward_post_hook)
        of_zero = (*getattr(zero, "_grad_acc_hooks", ()), *getattr(zero, "_leaf_module_hooks", ()))
        for hook in (*own, *of_zero):
            hook.remove()
        offload = self._offload()
        if offload is not None:
            offload.destroy()
            _forget(offload)

    def give_back(self, module: nn.Module, values: Mapping[nn.Parameter, Tensor]) -> None:
        """Give the module parameters of its own, in place of those that DeepSpeed holds."""
        fresh = {old: nn.Parameter(value, requires_grad=old.requires_grad) for old, value in values.items()}
        for one in module.modules():
            one._parameters = {
                name: None if old is None else fresh.get(old, old) for name, old in one._parameters.items()
            }
            for name in [name for name in vars(one) if name.startswith("ds_") or name in _OF_PARAMETERS]:
                delattr(one, name)
        module.to("cpu")

    def _offload(self) -> Any:
        zero = self._engine.optimizer
        return getattr(zero, "parameter_offload", zero if hasattr(zero, "setup_zero_stage3_hooks") else None)


def _forget(offload: Any) -> None:
    """Leave nothing of hooks that were removed."""
    from deepspeed.runtime.zero import parameter_offload

    offload.forward_hooks.clear()
    offload.backward_hooks.clear()
    stack: list[nn.Module] = parameter_offload.FWD_MODULE_STACK
    stack[:] = [one for one in stack if one is not offload.module]
    for one in offload.module.modules():
        for name in [name for name in vars(one) if name in _OF_HOOKS]:
            delattr(one, name)
