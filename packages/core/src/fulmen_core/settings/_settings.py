"""The arguments of a Trainer, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from fulmen_core.resolver import RunRequest
from fulmen_interfaces import (
    Accelerator,
    Callback,
    CheckpointIO,
    ClipAlgorithm,
    ClusterEnvironment,
    Every,
    Logger,
    Precision,
    Profiler,
    Strategy,
)

Limit: TypeAlias = int | float
"""A number of batches (int) or a share of them all (float from 0.0 to 1.0)."""
TrainerPlugin: TypeAlias = Precision | CheckpointIO | ClusterEnvironment


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """What the user asked of a Trainer, one field per argument. Made by `check_settings`; None stands for the default.

    What the defaults come to, and how arguments change each other, is in `effective(settings)`.

    Args:
        accelerator: the family of devices.
        strategy: how training is spread over devices.
        devices: how many devices, or which; -1 for all.
        num_nodes: machines.
        precision: numeric precision; None is 32-true.
        logger: where metrics go; None or True: the best that is installed, False: nowhere.
        callbacks: callbacks besides the default ones.
        fast_dev_run: run that many batches of everything and leave no files.
        max_epochs: epochs after which training ends; -1: never.
        min_epochs: epochs before which training does not end early.
        max_steps: optimizer steps after which training ends; -1: never.
        min_steps: optimizer steps before which training does not end early.
        max_time: time after which training ends.
        limit_train_batches: training batches of an epoch; None: all.
        limit_val_batches: validation batches; None: all, 0: no validation.
        limit_test_batches: test batches; None: all.
        limit_predict_batches: prediction batches; None: all.
        overfit_batches: train and validate on these same batches, unshuffled; 0: off.
        val_check_interval: share of an epoch, training batches, or time between validations; None: an epoch.
        check_val_every_n_epoch: epochs between validations; None: count batches across epochs.
        num_sanity_val_steps: validation batches before training; None: 2, -1: all, 0: none.
        log_every_n_steps: optimizer steps between writes of step metrics; None: 50, 0: never.
        enable_checkpointing: whether a default checkpoint callback is added; None: yes.
        enable_progress_bar: whether a progress bar is shown; None: yes.
        enable_model_summary: whether a table of layers is printed; None: yes.
        accumulate_grad_batches: batches per optimizer step.
        gradient_clip_val: bound on gradients; None or 0: none.
        gradient_clip_algorithm: how gradients are bounded; None: by their norm.
        deterministic: whether torch uses deterministic algorithms only; "warn": where there is one.
        benchmark: whether cuDNN tries several algorithms; None: as it is set.
        inference_mode: whether evaluation runs under `torch.inference_mode` rather than `torch.no_grad`.
        use_distributed_sampler: whether data is shared out among processes.
        uneven_batches: what training does where processes have different numbers of batches: an epoch ends with the
            first that has no more; or it goes on, while those without data count nothing.
        profiler: what measures where time goes.
        detect_anomaly: whether autograd looks for the operation that made a NaN.
        barebones: switch off everything that costs time beside training, `self.log` included.
        plugins: a precision, a cluster environment, a checkpoint io; at most one of each.
        sync_batchnorm: whether batch-norm statistics are taken over all processes.
        reload_dataloaders_every_n_epochs: epochs after which loaders are asked for again; 0: never.
        default_root_dir: where files go; None: the working directory.
        enable_autolog_hparams: whether hyper-parameters are sent to the loggers when a run starts.
        auto_lr_find: whether `tune` looks for a learning rate; a name: into which attribute it is written.
        auto_scale_batch_size: whether `tune` looks for the largest batch size, and how.
    """

    accelerator: str | Accelerator = "auto"
    strategy: str | Strategy = "auto"
    devices: int | str | Sequence[int] = "auto"
    num_nodes: int = 1
    precision: str | int | Precision | None = None
    logger: Logger | str | bool | tuple[Logger | str, ...] | None = None
    callbacks: tuple[Callback, ...] = ()
    fast_dev_run: bool | int = False
    max_epochs: int | None = None
    min_epochs: int | None = None
    max_steps: int = -1
    min_steps: int | None = None
    max_time: timedelta | None = None
    limit_train_batches: Limit | None = None
    limit_val_batches: Limit | None = None
    limit_test_batches: Limit | None = None
    limit_predict_batches: Limit | None = None
    overfit_batches: Limit = 0.0
    val_check_interval: Limit | timedelta | Every | None = None
    check_val_every_n_epoch: int | None = 1
    num_sanity_val_steps: int | None = None
    log_every_n_steps: int | Every | None = None
    enable_checkpointing: bool | None = None
    enable_progress_bar: bool | None = None
    enable_model_summary: bool | None = None
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: ClipAlgorithm | None = None
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    inference_mode: bool = True
    use_distributed_sampler: bool = True
    uneven_batches: Literal["stop", "zero_weight"] = "stop"
    profiler: str | Profiler | None = None
    detect_anomaly: bool = False
    barebones: bool = False
    plugins: tuple[TrainerPlugin, ...] = ()
    sync_batchnorm: bool = False
    reload_dataloaders_every_n_epochs: int = 0
    default_root_dir: str | None = None
    enable_autolog_hparams: bool = True
    auto_lr_find: bool | str = False
    auto_scale_batch_size: bool | Literal["power", "binsearch"] = False

    @property
    def checkpoint_io(self) -> CheckpointIO | None:
        """The checkpoint io among the plugins."""
        return next((plugin for plugin in self.plugins if isinstance(plugin, CheckpointIO)), None)

    @property
    def run_request(self) -> RunRequest:
        """What the resolver decides upon."""
        precision = next((plugin for plugin in self.plugins if isinstance(plugin, Precision)), self.precision)
        environment = next((plugin for plugin in self.plugins if isinstance(plugin, ClusterEnvironment)), None)
        return RunRequest(self.accelerator, self.strategy, precision, self.devices, self.num_nodes, environment)
