"""Every hook of a run, in the order in which they fire.

`C.` stands for callbacks, in their order; `M.` for the module; `D.` for the data module. Where a line names no owner,
callbacks come first and the module after them::

    fit
      M.configure_callbacks
      D.prepare_data, M.prepare_data                     (one process per machine, or one in all)
      D.setup(stage), C.setup(stage), M.setup(stage)
      M.configure_model
      [ckpt_path: M.on_load_checkpoint, C.on_load_checkpoint, C.load_state_dict]
      M.configure_optimizers
      on_fit_start
      [sanity check: C.on_sanity_check_start, M.val_dataloader, EVALUATION, C.on_sanity_check_end]
      M.train_dataloader (and M.val_dataloader if not asked yet)
      on_train_start
      for each epoch
        on_train_epoch_start
        for each batch
          M.on_before_batch_transfer, M.transfer_batch_to_device, M.on_after_batch_transfer
          on_train_batch_start                           (M returns -1: the rest of this epoch is left out)
          M.training_step
          on_before_zero_grad, M.optimizer_zero_grad     (first batch of an accumulation window)
          on_before_backward, M.backward, on_after_backward
          on_before_optimizer_step                       (last batch of an accumulation window, from here ...)
          M.configure_gradient_clipping
          M.optimizer_step                               (... to here; the frame around training_step if overridden)
          M.lr_scheduler_step                            (schedulers by step; by epoch after the last batch)
          on_train_batch_end
          [validation due: M.on_validation_model_zero_grad, EVALUATION]
        on_train_epoch_end                               (after validation)
      on_train_end
      on_fit_end
      D.teardown(stage), C.teardown(stage), M.teardown(stage)

    EVALUATION, and likewise validate(), test(), predict() with their own names
      M.on_validation_model_eval
      on_validation_start
      on_validation_epoch_start
      for each loader, for each batch
        M.on_before_batch_transfer, M.transfer_batch_to_device, M.on_after_batch_transfer
        on_validation_batch_start
        M.validation_step
        on_validation_batch_end
      on_validation_epoch_end
      on_validation_end
      M.on_validation_model_train

    whenever a checkpoint is put together
      C.state_dict, D.state_dict, C.on_save_checkpoint, M.on_save_checkpoint

    after any error
      C.on_exception, D.on_exception

Callbacks of `CallbackOrder.MONITOR` and `CHECKPOINT` come after the module, so that they see what it logged and save
what it changed.
"""

from __future__ import annotations

from enum import Enum


class Hook(str, Enum):
    """The hooks that callbacks, modules or both may implement; the value is the method's name."""

    SETUP = "setup"
    TEARDOWN = "teardown"
    ON_FIT_START = "on_fit_start"
    ON_FIT_END = "on_fit_end"
    ON_SANITY_CHECK_START = "on_sanity_check_start"
    ON_SANITY_CHECK_END = "on_sanity_check_end"
    ON_TRAIN_START = "on_train_start"
    ON_TRAIN_END = "on_train_end"
    ON_TRAIN_EPOCH_START = "on_train_epoch_start"
    ON_TRAIN_EPOCH_END = "on_train_epoch_end"
    ON_TRAIN_BATCH_START = "on_train_batch_start"
    ON_TRAIN_BATCH_END = "on_train_batch_end"
    TRAINING_STEP = "training_step"
    ON_BEFORE_ZERO_GRAD = "on_before_zero_grad"
    OPTIMIZER_ZERO_GRAD = "optimizer_zero_grad"
    ON_BEFORE_BACKWARD = "on_before_backward"
    BACKWARD = "backward"
    ON_AFTER_BACKWARD = "on_after_backward"
    ON_BEFORE_OPTIMIZER_STEP = "on_before_optimizer_step"
    CONFIGURE_GRADIENT_CLIPPING = "configure_gradient_clipping"
    OPTIMIZER_STEP = "optimizer_step"
    LR_SCHEDULER_STEP = "lr_scheduler_step"
    ON_VALIDATION_MODEL_ZERO_GRAD = "on_validation_model_zero_grad"
    ON_VALIDATION_MODEL_EVAL = "on_validation_model_eval"
    ON_VALIDATION_MODEL_TRAIN = "on_validation_model_train"
    ON_VALIDATION_START = "on_validation_start"
    ON_VALIDATION_END = "on_validation_end"
    ON_VALIDATION_EPOCH_START = "on_validation_epoch_start"
    ON_VALIDATION_EPOCH_END = "on_validation_epoch_end"
    ON_VALIDATION_BATCH_START = "on_validation_batch_start"
    ON_VALIDATION_BATCH_END = "on_validation_batch_end"
    VALIDATION_STEP = "validation_step"
    ON_TEST_MODEL_EVAL = "on_test_model_eval"
    ON_TEST_MODEL_TRAIN = "on_test_model_train"
    ON_TEST_START = "on_test_start"
    ON_TEST_END = "on_test_end"
    ON_TEST_EPOCH_START = "on_test_epoch_start"
    ON_TEST_EPOCH_END = "on_test_epoch_end"
    ON_TEST_BATCH_START = "on_test_batch_start"
    ON_TEST_BATCH_END = "on_test_batch_end"
    TEST_STEP = "test_step"
    ON_PREDICT_MODEL_EVAL = "on_predict_model_eval"
    ON_PREDICT_START = "on_predict_start"
    ON_PREDICT_END = "on_predict_end"
    ON_PREDICT_EPOCH_START = "on_predict_epoch_start"
    ON_PREDICT_EPOCH_END = "on_predict_epoch_end"
    ON_PREDICT_BATCH_START = "on_predict_batch_start"
    ON_PREDICT_BATCH_END = "on_predict_batch_end"
    PREDICT_STEP = "predict_step"
    ON_EXCEPTION = "on_exception"
    ON_SAVE_CHECKPOINT = "on_save_checkpoint"
    ON_LOAD_CHECKPOINT = "on_load_checkpoint"
    CONFIGURE_CALLBACKS = "configure_callbacks"
    CONFIGURE_MODEL = "configure_model"
    CONFIGURE_OPTIMIZERS = "configure_optimizers"
    PREPARE_DATA = "prepare_data"
    TRAIN_DATALOADER = "train_dataloader"
    VAL_DATALOADER = "val_dataloader"
    TEST_DATALOADER = "test_dataloader"
    PREDICT_DATALOADER = "predict_dataloader"
    ON_BEFORE_BATCH_TRANSFER = "on_before_batch_transfer"
    TRANSFER_BATCH_TO_DEVICE = "transfer_batch_to_device"
    ON_AFTER_BATCH_TRANSFER = "on_after_batch_transfer"

    def __str__(self) -> str:
        return self.value
