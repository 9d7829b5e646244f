"""A callback for tests: it implements every hook and keeps what was called."""

from __future__ import annotations

from typing import Any

from fulmen_interfaces import Callback, Hook


class RecordingCallback(Callback):
    """Keeps the hooks in the order in which they are called.

    `calls` holds their names, `arguments` their arguments after trainer and module. Pass one list as `into` to several
    callbacks (or modules) to see the order among them, and a `label` that is put before each name.
    """

    def __init__(self, into: list[str] | None = None, label: str = "") -> None:
        self.calls: list[str] = [] if into is None else into
        self.arguments: list[tuple[Any, ...]] = []
        self._label = label

    def record(self, hook: Hook, *arguments: Any) -> None:
        """Keep one call."""
        self.calls.append(f"{self._label}{hook}")
        self.arguments.append(arguments)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.record(Hook.SETUP, stage)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.record(Hook.TEARDOWN, stage)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_FIT_START)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_FIT_END)

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_SANITY_CHECK_START)

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_SANITY_CHECK_END)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TRAIN_START)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TRAIN_END)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TRAIN_EPOCH_START)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TRAIN_EPOCH_END)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.record(Hook.ON_TRAIN_BATCH_START, batch, batch_idx)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.record(Hook.ON_TRAIN_BATCH_END, outputs, batch, batch_idx)

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.record(Hook.ON_BEFORE_ZERO_GRAD, optimizer)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        self.record(Hook.ON_BEFORE_BACKWARD, loss)

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_AFTER_BACKWARD)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.record(Hook.ON_BEFORE_OPTIMIZER_STEP, optimizer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_VALIDATION_START)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_VALIDATION_END)

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_VALIDATION_EPOCH_START)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_VALIDATION_EPOCH_END)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.record(Hook.ON_VALIDATION_BATCH_START, batch, batch_idx, dataloader_idx)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.record(Hook.ON_VALIDATION_BATCH_END, outputs, batch, batch_idx, dataloader_idx)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TEST_START)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TEST_END)

    def on_test_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TEST_EPOCH_START)

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_TEST_EPOCH_END)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.record(Hook.ON_TEST_BATCH_START, batch, batch_idx, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.record(Hook.ON_TEST_BATCH_END, outputs, batch, batch_idx, dataloader_idx)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_PREDICT_START)

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_PREDICT_END)

    def on_predict_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_PREDICT_EPOCH_START)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.record(Hook.ON_PREDICT_EPOCH_END)

    def on_predict_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.record(Hook.ON_PREDICT_BATCH_START, batch, batch_idx, dataloader_idx)

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.record(Hook.ON_PREDICT_BATCH_END, outputs, batch, batch_idx, dataloader_idx)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.record(Hook.ON_EXCEPTION, exception)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.record(Hook.ON_SAVE_CHECKPOINT, checkpoint)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.record(Hook.ON_LOAD_CHECKPOINT, checkpoint)
