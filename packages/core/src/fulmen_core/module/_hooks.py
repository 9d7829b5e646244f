"""The module's hooks: what a user may override to take part in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from fulmen_interfaces import Callback


class ModuleHooks:
    """Hooks that do nothing until they are overridden; unused ones cost nothing.

    The drawing in `fulmen_interfaces._hooks` shows when each is called. All run on every rank.
    """

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Return callbacks of its own; they replace those of the Trainer of the same classes, or of their bases."""
        return ()

    def configure_model(self) -> None:
        """Make the big parts of the module, on their device and in their type. May be called more than once."""

    def on_fit_start(self) -> None:
        """Begin fitting: the module is placed and has its optimizers."""

    def on_fit_end(self) -> None:
        """End fitting."""

    def on_train_start(self) -> None:
        """Begin training, after the sanity check."""

    def on_train_end(self) -> None:
        """End training."""

    def on_train_epoch_start(self) -> None:
        """Begin an epoch."""

    def on_train_epoch_end(self) -> None:
        """End an epoch, after its validation."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Begin a batch, which is on the device; return -1 to leave out the rest of the epoch."""
        return None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End a batch; `outputs` is what the step returned, its loss detached."""

    def on_validation_start(self) -> None:
        """Begin validation."""

    def on_validation_end(self) -> None:
        """End validation."""

    def on_validation_epoch_start(self) -> None:
        """Begin the pass over the validation data."""

    def on_validation_epoch_end(self) -> None:
        """End the pass over the validation data."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Begin a validation batch."""

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """End a validation batch; `outputs` is what the step returned."""

    def on_test_start(self) -> None:
        """Begin test."""

    def on_test_end(self) -> None:
        """End test."""

    def on_test_epoch_start(self) -> None:
        """Begin the pass over the test data."""

    def on_test_epoch_end(self) -> None:
        """End the pass over the test data."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Begin a test batch."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """End a test batch; `outputs` is what the step returned."""

    def on_predict_start(self) -> None:
        """Begin prediction."""

    def on_predict_end(self) -> None:
        """End prediction."""

    def on_predict_epoch_start(self) -> None:
        """Begin the pass over the prediction data."""

    def on_predict_epoch_end(self) -> None:
        """End the pass over the prediction data."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Begin a prediction batch."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """End a prediction batch; `outputs` is what the step returned."""

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Gradients are about to be computed from `loss`."""

    def on_after_backward(self) -> None:
        """Gradients are computed, scaled where the loss is."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """The optimizer is about to step; gradients are complete and unscaled, not yet clipped."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is being put together; it may be changed in place."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint was read and is about to be restored; it may be changed in place."""
