"""A LightningModule under Fabric: its `log`, `print`, `manual_backward` and the rest work there, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from fulmen_core.fabric._optimizer import FabricOptimizer
from fulmen_core.logging import Recorder
from fulmen_core.module import LightningModule
from fulmen_interfaces import GradientClipping, Logger, World

if TYPE_CHECKING:
    from fulmen_core.fabric._model import SetUpModel
    from fulmen_core.module import AttachedTrainer, LightningOptimizer


class LoopOfUser(Protocol):
    """What the link needs of a Fabric."""

    @property
    def loggers(self) -> list[Logger]:
        """All loggers."""
        ...

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send values to the loggers."""
        ...

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print once."""
        ...

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Gather tensors."""
        ...


def attach(fabric: Any, model: SetUpModel) -> None:
    """Let a LightningModule take part in the user's loop; other modules know of none."""
    if isinstance(model.module, LightningModule):
        model.module.attach(FabricLink(fabric, model))


class FabricLink:
    """A module's end of the user's loop."""

    scheduler_configs = ()

    def __init__(self, fabric: LoopOfUser, model: SetUpModel) -> None:
        self.fabric = fabric
        self._model = model
        self.trainer = cast("AttachedTrainer", AbsentTrainer(fabric))
        self.recorder: Recorder = DirectRecorder(fabric)
        self.world: World = model.session.world
        self.device: torch.device | None = model.session.device

    @property
    def optimizers(self) -> Sequence[LightningOptimizer]:
        """The optimizers that were set up for the module: they step through strategy and precision, too."""
        return cast("Sequence[LightningOptimizer]", self._model.optimizers)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients."""
        self._model.backward(loss, *args, **kwargs)

    def plain_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients; there are no hooks to leave out."""
        self._model.backward(loss, *args, **kwargs)

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> None:
        """Bound gradients."""
        plain = optimizer.optimizer if isinstance(optimizer, FabricOptimizer) else optimizer
        self._model.prepared.clip_gradients(plain, clipping)

    def no_sync(self) -> AbstractContextManager[Any]:
        """Context in which backward does not synchronise gradients."""
        return self._model.prepared.no_sync()

    def all_gather(self, data: Any, group: Any, sync_grads: bool) -> Any:
        """Gather tensors of all ranks."""
        return self.fabric.all_gather(data, group, sync_grads)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print once."""
        self.fabric.print(*args, **kwargs)


class DirectRecorder(Recorder):
    """Sends what a module logs to the loggers at once: only the user's loop knows of steps and epochs."""

    def __init__(self, fabric: LoopOfUser) -> None:
        super().__init__()
        self._fabric = fabric

    def log(self, name: str, value: Any, prog_bar: bool, logger: bool | None, *others: Any) -> None:
        """Take one value; of the arguments of `LightningModule.log` only `logger` has a meaning here."""
        if logger is not False:
            self._fabric.log_dict({name: value})


class AbsentTrainer:
    """Stands for `self.trainer` where the loop is the user's."""

    current_epoch = 0
    global_step = 0

    def __init__(self, fabric: LoopOfUser) -> None:
        self._fabric = fabric

    @property
    def loggers(self) -> list[Logger]:
        """All loggers."""
        return self._fabric.loggers

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"`self.trainer.{name}` was used, but the loop is your own, under Fabric, and there is no Trainer. "
            "Pass what is needed to the method instead."
        )
