"""What a module uses of the run it takes part in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from fulmen_interfaces import GradientClipping, LRSchedulerConfig, TrainerView, World

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer

    from fulmen_core.logging import Recorder
    from fulmen_core.module._optimizer import LightningOptimizer


class AttachedTrainer(TrainerView, Protocol):
    """The trainer as `self.trainer` shows it: what plugins see, and what modules ask for when they are configured."""

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps of the whole fit; loads the training data if need be."""
        ...

    @property
    def datamodule(self) -> Any:
        """The data module of the run, if any."""
        ...

    @property
    def strategy(self) -> Any:
        """The strategy of the run."""
        ...

    @property
    def train_dataloader(self) -> Any:
        """What the training data came from."""
        ...

    @property
    def val_dataloaders(self) -> Any:
        """What the validation data came from."""
        ...

    @property
    def checkpoint_callback(self) -> Any:
        """The first callback that saves checkpoints, if any."""
        ...

    @property
    def world_size(self) -> int:
        """Processes of the run."""
        ...

    @property
    def training(self) -> bool:
        """Whether a training batch is being worked on."""
        ...

    @property
    def validating(self) -> bool:
        """Whether validation runs, the sanity check left out."""
        ...

    @property
    def sanity_checking(self) -> bool:
        """Whether the sanity check runs."""
        ...


class RunLink(Protocol):
    """The seam between a module and the run: implemented by the engine, used by `LightningModule` only."""

    @property
    def trainer(self) -> AttachedTrainer:
        """The trainer whose run it is."""
        ...

    @property
    def fabric(self) -> Any:
        """The Fabric whose user runs the loop; None where a trainer does."""
        ...

    @property
    def recorder(self) -> Recorder:
        """Where `log` goes."""
        ...

    @property
    def world(self) -> World:
        """The place of this process."""
        ...

    @property
    def device(self) -> torch.device | None:
        """The device of this process; None when the run is over."""
        ...

    @property
    def optimizers(self) -> Sequence[LightningOptimizer]:
        """The optimizers as `self.optimizers()` hands them out."""
        ...

    @property
    def scheduler_configs(self) -> Sequence[LRSchedulerConfig]:
        """The schedulers."""
        ...

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients through strategy and precision, hooks included."""
        ...

    def plain_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients through strategy and precision, without hooks."""
        ...

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> None:
        """Bound gradients through the strategy."""
        ...

    def all_gather(self, data: Any, group: Any, sync_grads: bool) -> Any:
        """Gather tensors of all ranks."""
        ...

    def no_sync(self) -> AbstractContextManager[Any]:
        """Context in which backward does not synchronise gradients."""
        ...

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without tearing a progress bar."""
        ...
