"""What a training step returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fulmen_interfaces import StepOutputError

_ALLOWED = "Return the loss as a scalar tensor, a dict with it under 'loss', or None to leave the batch out."


def loss_of(returned: Any, *, manual: bool = False) -> Tensor | None:
    """Return the loss in what a step returned; with `manual` it is optional. Raises StepOutputError otherwise."""
    if returned is None or isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping):
        loss = returned.get("loss")
        if isinstance(loss, Tensor) or (manual and loss is None):
            return loss
        keys = ", ".join(repr(key) for key in returned) or "nothing"
        has = f"under 'loss' {loss!r}" if "loss" in returned else keys
        raise StepOutputError(f"`training_step` returned a dict that holds {has}. {_ALLOWED}")
    raise StepOutputError(f"`training_step` returned a value of type {type(returned).__name__}. {_ALLOWED}")


def trainable(loss: Tensor) -> Tensor:
    """Return the loss as a scalar with a graph. Raises StepOutputError where it is none."""
    if loss.numel() != 1:
        raise StepOutputError(
            f"The loss that `training_step` returned has the shape {tuple(loss.shape)}, but one number is needed. "
            "Reduce it, for example with `loss.mean()`."
        )
    if not loss.requires_grad:
        raise StepOutputError(
            "The loss that `training_step` returned has no graph: nothing to compute gradients from. Was it detached, "
            "converted with `.item()`, computed under `torch.no_grad()`, or does no parameter require gradients? "
            "Return the loss tensor as it came out of the model."
        )
    return loss.reshape(())


def detached_outputs(returned: Any, loss: Tensor | None) -> dict[str, Any]:
    """Return what `on_train_batch_end` receives: a dict with the loss detached, everything else as it was."""
    if loss is None:
        return dict(returned) if isinstance(returned, Mapping) else {}
    if isinstance(returned, Mapping):
        return {**returned, "loss": loss.detach()}
    return {"loss": loss.detach()}
