"""Methods that look like hooks: found where they are a mistake, left alone where they are helpers."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from torch import nn

from fulmen_core._near_miss import near_miss_hooks
from fulmen_core.data import LightningDataModule
from fulmen_core.module import LightningModule
from fulmen_interfaces import Callback, Hook


def module_with(**methods: Any) -> LightningModule:
    return type("Model", (LightningModule,), methods)()


def function(*names: str) -> Any:
    """Return a function with these positional parameters besides self."""
    scope: dict[str, Any] = {}
    exec(f"def f(self, {', '.join(names)}): ...", scope)
    return scope["f"]


MISSPELT = {
    "validaton_step": "validation_step",
    "trainig_step": "training_step",
    "training_setp": "training_step",
    "trainingStep": "training_step",
    "train_step": "training_step",
    "val_step": "validation_step",
    "predcit_step": "predict_step",
    "prediction_step": "predict_step",
    "on_training_step": "training_step",
    "configure_optimizer": "configure_optimizers",
    "configure_optimisers": "configure_optimizers",
    "configre_optimizers": "configure_optimizers",
    "on_train_epoch_stop": "on_train_epoch_end",
    "on_train_epoch_begin": "on_train_epoch_start",
    "on_train_epoch_ends": "on_train_epoch_end",
    "on_training_epoch_end": "on_train_epoch_end",
    "train_epoch_end": "on_train_epoch_end",
    "on_val_epoch_end": "on_validation_epoch_end",
    "on_validaton_start": "on_validation_start",
    "on_fit_begin": "on_fit_start",
    "validation_dataloader": "val_dataloader",
    "val_data_loader": "val_dataloader",
    "train_dataloaders": "train_dataloader",
    "set_up": "setup",
    "tear_down": "teardown",
    "prepare_dat": "prepare_data",
    "on_save_checkpont": "on_save_checkpoint",
    "transfer_batch_to_devcie": "transfer_batch_to_device",
}

HELPERS = """
shared_step eval_step common_step step model_step forward_step best_step text_step first_step last_step task_step
teacher_step student_step generator_step discriminator_step pretrain_step inference_step train_one_epoch run_epoch
compute_loss loss_fn training_loss validation_loss test_loss configure_loss configure_losses configure_metrics
configure_scheduler configure_schedulers configure_model_parts make_optimizer build_optimizer get_optimizers
save_checkpoint load_checkpoint load_weights init_weights reset_parameters encode decode sample generate predict
evaluate validate fit train_model test_model setup_model setup_data setup_metrics prepare prepare_batch prepare_inputs
train_loader val_loader get_dataloader make_dataset train_dataset val_dataset test_dataset collate_fn train_transform
val_transform test_transform log_metrics log_images plot freeze_encoder unfreeze_encoder backward_pass start end reset
num_training_steps total_steps warmup_steps train_metrics val_metrics on_step on_new_best epoch_end step_end backprop
train_batch val_batch test_batch process_batch train_epoch test_epoch move_batch teacher student score rank embed
"""


@pytest.mark.parametrize(("written", "meant"), MISSPELT.items())
def test_a_misspelt_hook_is_told_with_the_right_name(written, meant):
    (problem,) = near_miss_hooks(module_with(**{written: function("batch")}), LightningModule)
    assert problem.argument == f"Model.{written}"
    assert f"Did you mean {meant}?" in str(problem)


@pytest.mark.parametrize("helper", HELPERS.split())
def test_ordinary_helpers_are_left_alone(helper):
    for base in (LightningModule, LightningDataModule, Callback):
        methods = {helper: function("a", "b")}
        assert near_miss_hooks(type("Mine", (base,), methods)(), base) == []


def test_a_name_like_that_of_a_hook_that_is_there_too_is_a_helper():
    methods = {"training_step": function("batch"), "train_step": function("batch", "which")}
    assert near_miss_hooks(module_with(**methods), LightningModule) == []


def test_private_methods_and_values_are_left_alone():
    module = module_with(_validaton_step=function("batch"), validaton_step=3, trainig_step=nn.Linear)
    assert near_miss_hooks(module, LightningModule) == []


@pytest.mark.parametrize(
    ("retired", "today"),
    [
        ("training_epoch_end", "on_train_epoch_end"),
        ("validation_epoch_end", "on_validation_epoch_end"),
        ("test_epoch_end", "on_test_epoch_end"),
        ("training_step_end", "training_step"),
        ("on_epoch_end", "on_train_epoch_end"),
        ("on_batch_start", "on_train_batch_start"),
        ("on_pretrain_routine_end", "on_fit_start"),
        ("tbptt_split_batch", "automatic_optimization"),
    ],
)
def test_hooks_of_earlier_versions_are_told_with_todays(retired, today):
    (problem,) = near_miss_hooks(module_with(**{retired: function("outputs")}), LightningModule)
    assert "Nothing calls it any more." in str(problem)
    assert today in problem.remedy


def test_a_hook_of_another_kind_of_object_is_told():
    (problem,) = near_miss_hooks(module_with(on_sanity_check_start=function()), LightningModule)
    assert "is a hook of callbacks" in problem.reason
    callback = type("Mine", (Callback,), {"on_validation_model_eval": function()})()
    (problem,) = near_miss_hooks(callback, Callback)
    assert "is a hook of the module" in problem.reason


def test_misspelt_hooks_of_callbacks_and_data_modules():
    callback = type("Mine", (Callback,), {"on_train_epoch_stop": function("trainer", "pl_module")})()
    assert "on_train_epoch_end" in near_miss_hooks(callback, Callback)[0].remedy
    data = type("Mine", (LightningDataModule,), {"val_dataloadr": function()})()
    assert "val_dataloader" in near_miss_hooks(data, LightningDataModule)[0].remedy


def test_mistakes_in_a_class_between_are_found_once():
    parent = type("Parent", (LightningModule,), {"validaton_step": function("batch")})
    child = type("Child", (parent,), {"validaton_step": function("batch", "batch_idx")})
    assert len(near_miss_hooks(child(), LightningModule)) == 1


GOOD_SIGNATURES = [
    ("training_step", ["batch"]),
    ("training_step", ["batch", "batch_idx"]),
    ("training_step", ["x", "i"]),
    ("training_step", ["batch", "batch_idx", "optimizer_idx"]),
    ("training_step", ["*args"]),
    ("validation_step", ["batch", "batch_idx", "dataloader_idx"]),
    ("validation_step", ["batch", "batch_idx", "dataloader_idx=0", "verbose=False"]),
    ("predict_step", ["batch", "batch_idx", "*", "verbose=False"]),
    ("on_train_batch_start", ["batch", "batch_idx"]),
    ("on_train_batch_start", ["batch", "batch_idx", "unused=0"]),
    ("on_validation_batch_end", ["outputs", "batch", "batch_idx"]),
    ("on_validation_batch_end", ["outputs", "batch", "batch_idx", "dataloader_idx"]),
    ("on_after_batch_transfer", ["batch", "dataloader_idx"]),
    ("configure_gradient_clipping", ["optimizer", "gradient_clip_val", "gradient_clip_algorithm"]),
    ("optimizer_step", ["epoch", "batch_idx", "optimizer", "optimizer_closure=None"]),
    ("optimizer_step", ["*args", "**kwargs"]),
    ("backward", ["loss"]),
    ("backward", ["loss", "*args", "**kwargs"]),
    ("setup", ["stage"]),
    ("setup", ["stage=None"]),
]
BAD_SIGNATURES = [
    ("training_step", [], "takes no arguments", "training_step(self, batch, batch_idx)"),
    ("validation_step", ["a", "b", "c", "d"], "requires 4", "validation_step(self, batch, batch_idx)"),
    ("validation_step", ["batch", "*", "index"], "requires index as keyword", "(self, batch, batch_idx)"),
    ("on_train_batch_start", ["batch"], "takes 1 argument", "on_train_batch_start(self, batch, batch_idx)"),
    ("on_train_batch_end", ["o", "b", "i", "dataloader_idx"], "requires 4", "(self, outputs, batch, batch_idx)"),
    ("on_after_batch_transfer", ["batch"], "takes 1 argument", "(self, batch, dataloader_idx)"),
    ("setup", [], "takes no arguments", "setup(self, stage)"),
    ("on_train_epoch_end", ["outputs"], "requires 1", "on_train_epoch_end(self)"),
    (
        "optimizer_step",
        ["epoch", "batch_idx", "optimizer", "optimizer_idx", "optimizer_closure"],
        "requires 5",
        "(self, epoch, batch_idx, optimizer, optimizer_closure)",
    ),
    ("lr_scheduler_step", ["scheduler", "optimizer_idx", "metric"], "requires 3", "(self, scheduler, metric)"),
    ("training_step", ["batch_idx", "batch"], "takes batch_idx, batch in another place", "(self, batch, batch_idx)"),
    ("test_step", ["batch", "dataloader_idx"], "takes dataloader_idx in another place", "(self, batch, batch_idx)"),
    (
        "configure_gradient_clipping",
        ["optimizer", "optimizer_idx", "gradient_clip_val=None", "gradient_clip_algorithm=None"],
        "takes gradient_clip_val, gradient_clip_algorithm in another place",
        "(self, optimizer, gradient_clip_val, gradient_clip_algorithm)",
    ),
    ("configure_gradient_clipping", ["optimizer"], "takes 1 argument", "gradient_clip_val, gradient_clip_algorithm"),
]


@pytest.mark.parametrize(("hook", "parameters"), GOOD_SIGNATURES)
def test_parameters_that_the_loop_can_fill_are_fine(hook, parameters):
    assert near_miss_hooks(module_with(**{hook: function(*parameters)}), LightningModule) == []


@pytest.mark.parametrize(("hook", "parameters", "reason", "remedy"), BAD_SIGNATURES)
def test_parameters_that_the_loop_cannot_fill_are_told(hook, parameters, reason, remedy):
    (problem,) = near_miss_hooks(module_with(**{hook: function(*parameters)}), LightningModule)
    assert reason in problem.reason
    assert remedy in problem.remedy


def test_a_callbacks_batch_hooks_may_leave_out_the_loader():
    short = function("trainer", "pl_module", "outputs", "batch", "batch_idx")
    long = function("trainer", "pl_module", "outputs", "batch", "batch_idx", "dataloader_idx")
    callback = type("Mine", (Callback,), {"on_validation_batch_end": short})()
    assert near_miss_hooks(callback, Callback) == []
    callback = type("Mine", (Callback,), {"on_train_batch_end": long})()
    assert "requires 6" in near_miss_hooks(callback, Callback)[0].reason


def test_decorated_and_static_hooks_are_judged_by_what_they_take():
    def decorated(method: Any) -> Any:
        @functools.wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return wrapper

    methods = {
        "training_step": decorated(function("batch", "batch_idx")),
        "on_train_batch_start": staticmethod(lambda batch, batch_idx: None),
        "configure_optimizers": classmethod(lambda cls: None),
    }
    assert near_miss_hooks(module_with(**methods), LightningModule) == []


def test_every_hook_of_the_bases_themselves_is_fine():
    for base in (LightningModule, LightningDataModule, Callback):
        own = {hook.value: vars(base)[hook.value] for hook in Hook if hook.value in vars(base)}
        assert near_miss_hooks(type("Mine", (base,), own)(), base) == []
