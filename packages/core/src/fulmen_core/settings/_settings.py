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
    """

    accelerator: str | Accelerator = "auto"
    """The family of devices."""
    strategy: str | Strategy = "auto"
    """How training is spread over devices."""
    devices: int | str | Sequence[int] = "auto"
    """How many devices, or which; -1 for all."""
    num_nodes: int = 1
    """Machines."""
    precision: str | int | Precision | None = None
    """Numeric precision; None is 32-true."""
    logger: Logger | str | bool | tuple[Logger | str, ...] | None = None
    """Where metrics go; None or True: the best that is installed, False: nowhere."""
    callbacks: tuple[Callback, ...] = ()
    """Callbacks besides the default ones."""
    fast_dev_run: bool | int = False
    """Run that many batches of everything and leave no files."""
    max_epochs: int | None = None
    """Epochs after which training ends; -1: never."""
    min_epochs: int | None = None
    """Epochs before which training does not end early."""
    max_steps: int = -1
    """Optimizer steps after which training ends; -1: never."""
    min_steps: int | None = None
    """Optimizer steps before which training does not end early."""
    max_time: timedelta | None = None
    """Time after which training ends."""
    limit_train_batches: Limit | None = None
    """Training batches of an epoch; None: all."""
    limit_val_batches: Limit | None = None
    """Validation batches; None: all, 0: no validation."""
    limit_test_batches: Limit | None = None
    """Test batches; None: all."""
    limit_predict_batches: Limit | None = None
    """Prediction batches; None: all."""
    overfit_batches: Limit = 0.0
    """Train and validate on these same batches, unshuffled; 0: off."""
    val_check_interval: Limit | timedelta | Every | None = None
    """Share of an epoch, training batches, or time between validations; None: an epoch."""
    check_val_every_n_epoch: int | None = 1
    """Epochs between validations; None: count batches across epochs."""
    num_sanity_val_steps: int | None = None
    """Validation batches before training; None: 2, -1: all, 0: none."""
    log_every_n_steps: int | Every | None = None
    """Optimizer steps between writes of step metrics; None: 50, 0: never."""
    enable_checkpointing: bool | None = None
    """Whether a default checkpoint callback is added; None: yes."""
    enable_progress_bar: bool | None = None
    """Whether a progress bar is shown; None: yes."""
    enable_model_summary: bool | None = None
    """Whether a table of layers is printed; None: yes."""
    accumulate_grad_batches: int = 1
    """Batches per optimizer step."""
    gradient_clip_val: float | None = None
    """Bound on gradients; None or 0: none."""
    gradient_clip_algorithm: ClipAlgorithm | None = None
    """How gradients are bounded; None: by their norm."""
    deterministic: bool | Literal["warn"] | None = None
    """Whether torch uses deterministic algorithms only; "warn": where there is one."""
    benchmark: bool | None = None
    """Whether cuDNN tries several algorithms; None: as it is set."""
    inference_mode: bool = True
    """Whether evaluation runs under `torch.inference_mode` rather than `torch.no_grad`."""
    use_distributed_sampler: bool = True
    """Whether data is shared out among processes."""
    uneven_batches: Literal["stop", "zero_weight"] = "stop"
    """What training does where processes have different numbers of batches: an epoch ends with the first that has no
    more; or it goes on, while those without data count nothing."""
    profiler: str | Profiler | None = None
    """What measures where time goes."""
    detect_anomaly: bool = False
    """Whether autograd looks for the operation that made a NaN."""
    barebones: bool = False
    """Switch off everything that costs time beside training, `self.log` included."""
    plugins: tuple[TrainerPlugin, ...] = ()
    """A precision, a cluster environment, a checkpoint io; at most one of each."""
    sync_batchnorm: bool = False
    """Whether batch-norm statistics are taken over all processes."""
    reload_dataloaders_every_n_epochs: int = 0
    """Epochs after which loaders are asked for again; 0: never."""
    default_root_dir: str | None = None
    """Where files go; None: the working directory."""
    enable_autolog_hparams: bool = True
    """Whether hyper-parameters are sent to the loggers when a run starts."""
    auto_lr_find: bool | str = False
    """Whether `tune` looks for a learning rate; a name: into which attribute it is written."""
    auto_scale_batch_size: bool | Literal["power", "binsearch"] = False
    """Whether `tune` looks for the largest batch size, and how."""

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
