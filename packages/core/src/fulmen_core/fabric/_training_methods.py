"""What the user's loop calls in each step."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from fulmen_core.fabric._base import FabricBase
from fulmen_core.fabric._model import SetUpModel
from fulmen_core.fabric._module import FabricModule
from fulmen_core.fabric._optimizer import FabricOptimizer
from fulmen_interfaces import ClipAlgorithm, ConfigurationError, GradientClipping, Problem


class TrainingMethods(FabricBase):
    """Gradients."""

    def backward(self, tensor: Tensor, *args: Any, model: nn.Module | None = None, **kwargs: Any) -> None:
        """Compute gradients; takes the place of `tensor.backward()`, with its arguments.

        Where several models were set up, `model` says through which gradients are computed; without it, it is the one
        that was called last. It matters only for strategies whose library computes gradients itself.
        """
        session = self._launched("backward")
        chosen = session.model_to_differentiate() if model is None else _model("model", model)
        chosen.backward(tensor, *args, **kwargs)

    def clip_gradients(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        clip_val: float | int | None = None,
        max_norm: float | int | None = None,
        norm_type: float | int = 2.0,
        error_if_nonfinite: bool = True,
    ) -> Tensor | None:
        """Clamp each gradient to plus or minus `clip_val`, or scale all of them down to the norm `max_norm`.

        Returns the norm before, where it was one. With `error_if_nonfinite` a norm that is no number raises
        RuntimeError; not under loss scaling, where such a step is skipped. On all ranks.
        """
        model, plain = _model("module", module), _plain(optimizer)
        if (clip_val is None) == (max_norm is None):
            reason = "Gradients are bounded by value or by their norm; exactly one of them is to be given."
            raise ConfigurationError([Problem("max_norm", max_norm, reason, "Give `clip_val` or `max_norm`.")])
        if clip_val is not None:
            model.prepared.clip_gradients(plain, GradientClipping(float(clip_val), ClipAlgorithm.VALUE))
            return None
        limit = float(max_norm or 0.0)
        norm = model.prepared.clip_gradients(plain, GradientClipping(limit, norm_type=float(norm_type)))
        if error_if_nonfinite and norm is not None and not self._parts.precision.policy.loss_scaling:
            value = norm.item()
            if not math.isfinite(value):
                raise RuntimeError(
                    f"The norm of the gradients is {value}, so they cannot be scaled down to {limit:g}. Look for what "
                    "makes them so (`torch.autograd.detect_anomaly()`), or pass error_if_nonfinite=False."
                )
        return norm

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which models run by themselves, for computations outside of them."""
        session = self._launched("autocast")
        context = session.precision.forward_context(session.device.type)
        return nullcontext() if context is None else context()

    def no_backward_sync(self, module: nn.Module, enabled: bool = True) -> AbstractContextManager[Any]:
        """Return a context in which gradients stay on this process: for batches that do not end an accumulation window.

        Forward and backward both belong inside. With `enabled=False` it does nothing.
        """
        model = _model("module", module)
        return model.prepared.no_sync() if enabled else nullcontext()


def _model(argument: str, module: object) -> SetUpModel:
    if isinstance(module, FabricModule):
        return module.set_up_model
    reason = "It was not set up."
    raise ConfigurationError([Problem(argument, module, reason, "Give the module that `fabric.setup` returned.")])


def _plain(optimizer: Optimizer) -> Optimizer:
    return optimizer.optimizer if isinstance(optimizer, FabricOptimizer) else optimizer
