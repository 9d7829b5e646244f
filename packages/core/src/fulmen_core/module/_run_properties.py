"""What a module sees of the run that it takes part in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch

from fulmen_core.module._attached import AttachedModule
from fulmen_core.module._link import AttachedTrainer
from fulmen_interfaces import Logger


class RunProperties(AttachedModule):
    """A module that knows its trainer, loggers, progress, process and device."""

    @property
    def trainer(self) -> AttachedTrainer:
        """The trainer that this module takes part in a run of."""
        return self._attached("trainer").trainer

    @property
    def fabric(self) -> Any:
        """The Fabric that set this module up, for a loop of the user's own; None otherwise."""
        return self._link.fabric if self._link is not None else None

    @property
    def logger(self) -> Logger | None:
        """The first logger of the run, if any."""
        loggers = self.loggers
        return loggers[0] if loggers else None

    @property
    def loggers(self) -> Sequence[Logger]:
        """All loggers of the run."""
        return self._link.trainer.loggers if self._link is not None else ()

    @property
    def current_epoch(self) -> int:
        """The epoch that is running; 0 outside of runs."""
        return self._link.trainer.current_epoch if self._link is not None else 0

    @property
    def global_step(self) -> int:
        """Steps of all optimizers so far; 0 outside of runs."""
        return self._link.trainer.global_step if self._link is not None else 0

    @property
    def global_rank(self) -> int:
        """This process among all; 0 outside of runs."""
        return self._link.world.rank if self._link is not None else 0

    @property
    def local_rank(self) -> int:
        """This process among those of its machine; 0 outside of runs."""
        return self._link.world.local_rank if self._link is not None else 0

    @property
    def device(self) -> torch.device:
        """The device of this process in a run; outside, that of the first parameter or buffer."""
        if self._link is not None and self._link.device is not None:
            return self._link.device
        tensor = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first floating-point parameter, or torch's default."""
        return next((one.dtype for one in self.parameters() if one.is_floating_point()), torch.get_default_dtype())

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without tearing a progress bar."""
        if self._link is None:
            print(*args, **kwargs)  # noqa: T201
        else:
            self._link.print(*args, **kwargs)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Return all ranks' tensors, stacked along a new first dimension, in nested structures too. On all ranks."""
        return self._attached("all_gather").all_gather(data, group, sync_grads)
