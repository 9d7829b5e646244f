"""The arguments of a Trainer, for checkers and editors; what they mean stands in `TrainerSettings`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from os import PathLike
from typing import Any, Literal, TypedDict

from fulmen_interfaces import (
    Accelerator,
    Callback,
    CheckpointIO,
    ClusterEnvironment,
    Every,
    Logger,
    Precision,
    Profiler,
    Strategy,
)


class TrainerArguments(TypedDict, total=False):
    """Every argument may be left out; `TrainerSettings` has the defaults."""

    accelerator: str | Accelerator
    strategy: str | Strategy
    devices: int | str | Sequence[int]
    num_nodes: int
    precision: str | int | Precision | None
    logger: Logger | str | Sequence[Logger | str] | bool | None
    callbacks: Callback | Sequence[Callback] | None
    fast_dev_run: bool | int
    max_epochs: int | None
    min_epochs: int | None
    max_steps: int
    min_steps: int | None
    max_time: str | timedelta | dict[str, int] | None
    limit_train_batches: int | float | None
    limit_val_batches: int | float | None
    limit_test_batches: int | float | None
    limit_predict_batches: int | float | None
    overfit_batches: int | float
    val_check_interval: int | float | str | timedelta | dict[str, int] | Every | None
    check_val_every_n_epoch: int | None
    num_sanity_val_steps: int | None
    log_every_n_steps: int | str | Every | None
    enable_checkpointing: bool | None
    enable_progress_bar: bool | None
    enable_model_summary: bool | None
    accumulate_grad_batches: int
    gradient_clip_val: int | float | None
    gradient_clip_algorithm: str | None
    deterministic: bool | Literal["warn"] | None
    benchmark: bool | None
    inference_mode: bool
    use_distributed_sampler: bool
    uneven_batches: Literal["stop", "zero_weight"]
    profiler: str | Profiler | None
    detect_anomaly: bool
    barebones: bool
    plugins: Precision | CheckpointIO | ClusterEnvironment | Sequence[Any] | None
    sync_batchnorm: bool
    reload_dataloaders_every_n_epochs: int
    default_root_dir: str | PathLike[str] | None
    enable_autolog_hparams: bool
    auto_lr_find: bool | str
    auto_scale_batch_size: bool | Literal["power", "binsearch"]
