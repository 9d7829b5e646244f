"""Arguments that Trainers had once, or have elsewhere, and what to write today."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Today = str | Callable[[object], str]


def remedy_for_retired(argument: str, value: object) -> str | None:
    """Return what to write instead of an argument of earlier days; None for one that never was."""
    today = RETIRED.get(argument)
    return today(value) if callable(today) else today


def _renamed(name: str) -> Callable[[object], str]:
    return lambda value: f"Write {name}={value!r}."


def _devices_of(family: str) -> Callable[[object], str]:
    def remedy(value: object) -> str:
        if value is None or value == 0:
            return "Write accelerator='cpu'." if value == 0 else "Leave it out: devices are chosen by themselves."
        return f"Write accelerator={family!r}, devices={value!r}."

    return remedy


def _switch(name: str, callback: str) -> Callable[[object], str]:
    def remedy(value: object) -> str:
        return f"Write {name}={value!r}." if isinstance(value, bool) else f"Write callbacks=[{callback}]."

    return remedy


def _refresh_rate(value: object) -> str:
    if value == 0:
        return "Write enable_progress_bar=False."
    return f"Write callbacks=[TQDMProgressBar(refresh_rate={value!r})]."


def _summary(value: object) -> str:
    depth = {"full": -1, "top": 1}.get(str(value))
    if depth is None:
        return "Write enable_model_summary=False."
    return f"Write callbacks=[ModelSummary(max_depth={depth})]."


def _combined(value: object) -> str:
    return f"Return CombinedLoader(loaders, mode={value!r}) from train_dataloader."


def _checkpoint(value: object) -> str:
    return f"Write trainer.fit(model, ckpt_path={value!r})." if value is not None else "Leave it out."


_OF_FIT = "It is an argument of fit: trainer.fit(model, {0}={0})."
_OF_OPTIMIZER = "It belongs to the optimizer that configure_optimizers returns."

RETIRED: Mapping[str, Today] = {
    # devices
    "gpus": _devices_of("gpu"),
    "tpu_cores": _devices_of("tpu"),
    "ipus": _devices_of("ipu"),
    "hpus": _devices_of("hpu"),
    "num_processes": _devices_of("cpu"),
    "num_gpus": _devices_of("gpu"),
    "n_gpus": _devices_of("gpu"),
    "nb_gpus": _devices_of("gpu"),
    "device": "Write accelerator='cuda' (or 'cpu'), and devices for how many or which.",
    "auto_select_gpus": "Write devices='auto', or name the devices: devices=[2, 3].",
    "nb_gpu_nodes": _renamed("num_nodes"),
    "nodes": _renamed("num_nodes"),
    "distributed_backend": _renamed("strategy"),
    "replace_sampler_ddp": _renamed("use_distributed_sampler"),
    "sync_bn": _renamed("sync_batchnorm"),
    # precision
    "amp_backend": "Write precision='16-mixed' or 'bf16-mixed': torch's own autocast is used.",
    "amp_level": "Write precision='16-mixed' or 'bf16-mixed': torch's own autocast is used.",
    "use_amp": "Write precision='16-mixed' or 'bf16-mixed'.",
    "amp": "Write precision='16-mixed' or 'bf16-mixed'.",
    "fp16": "Write precision='16-mixed'.",
    "bf16": "Write precision='bf16-mixed'.",
    # how long, how much
    "epochs": _renamed("max_epochs"),
    "num_epochs": _renamed("max_epochs"),
    "n_epochs": _renamed("max_epochs"),
    "max_nb_epochs": _renamed("max_epochs"),
    "min_nb_epochs": _renamed("min_epochs"),
    "num_train_epochs": _renamed("max_epochs"),
    "steps": _renamed("max_steps"),
    "train_percent_check": _renamed("limit_train_batches"),
    "val_percent_check": _renamed("limit_val_batches"),
    "test_percent_check": _renamed("limit_test_batches"),
    "overfit_pct": _renamed("overfit_batches"),
    "nb_sanity_val_steps": _renamed("num_sanity_val_steps"),
    "gradient_accumulation_steps": _renamed("accumulate_grad_batches"),
    "gradient_clip": _renamed("gradient_clip_val"),
    "max_grad_norm": _renamed("gradient_clip_val"),
    "reload_dataloaders_every_epoch": lambda value: f"Write reload_dataloaders_every_n_epochs={int(bool(value))}.",
    "truncated_bptt_steps": "Cut the sequence in training_step, with self.automatic_optimization = False.",
    # where and what is written
    "resume_from_checkpoint": _checkpoint,
    "ckpt_path": _checkpoint,
    "default_save_path": _renamed("default_root_dir"),
    "weights_save_path": lambda value: f"Write callbacks=[ModelCheckpoint(dirpath={value!r})].",
    "row_log_interval": _renamed("log_every_n_steps"),
    "log_save_interval": lambda value: f"Write logger=CSVLogger('logs', flush_logs_every_n_steps={value!r}).",
    "flush_logs_every_n_steps": lambda value: f"Write logger=CSVLogger('logs', flush_logs_every_n_steps={value!r}).",
    "log_gpu_memory": "Write callbacks=[DeviceStatsMonitor()].",
    "move_metrics_to_cpu": "Leave it out: logged values are detached, and reading them moves them.",
    "track_grad_norm": "Log it: self.log_dict(grad_norm(self, norm_type=2)) in on_before_optimizer_step.",
    "model_registry": "Leave it out: it belongs to a service of Lightning.",
    "suggest_integrations": "Leave it out: nothing is advertised here.",
    # callbacks
    "progress_bar_refresh_rate": _refresh_rate,
    "process_position": lambda value: f"Write callbacks=[TQDMProgressBar(process_position={value!r})].",
    "weights_summary": _summary,
    "checkpoint_callback": _switch("enable_checkpointing", "ModelCheckpoint(...)"),
    "early_stop_callback": "Write callbacks=[EarlyStopping(monitor='val_loss')].",
    "stochastic_weight_avg": "Write callbacks=[StochasticWeightAveraging(swa_lrs=1e-2)].",
    "terminate_on_nan": "Write callbacks=[EarlyStopping('train_loss', check_finite=True)], or detect_anomaly=True.",
    "print_nan_grads": "Write detect_anomaly=True.",
    # of the model and the data
    "multiple_trainloader_mode": _combined,
    "automatic_optimization": "Set it in the module: self.automatic_optimization = False.",
    "prepare_data_per_node": "Set it in the data module: self.prepare_data_per_node = False.",
    "model": "It is an argument of fit: trainer.fit(model).",
    "datamodule": _OF_FIT.format("datamodule"),
    "train_dataloaders": _OF_FIT.format("train_dataloaders"),
    "val_dataloaders": _OF_FIT.format("val_dataloaders"),
    "lr": _OF_OPTIMIZER,
    "learning_rate": _OF_OPTIMIZER,
    "weight_decay": _OF_OPTIMIZER,
    "optimizer": "The module's configure_optimizers returns it.",
    "batch_size": "It belongs to the DataLoader.",
    "num_workers": "It belongs to the DataLoader.",
    "seed": "Call seed_everything(seed) before.",
}
