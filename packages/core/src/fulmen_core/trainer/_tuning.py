"""Tuning as the 1.x documents teach it: the way to the tuner that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulmen_core.trainer.properties import TrainerBase
from fulmen_interfaces import TUNERS, Tuner, default_catalogue

if TYPE_CHECKING:
    from fulmen_core.module import LightningModule


class TuningMethods(TrainerBase):
    """Learning rate and batch size by trial, as the arguments `auto_lr_find` and `auto_scale_batch_size` ask for it."""

    @property
    def tuner(self) -> Tuner:
        """The tuner that is installed, for this trainer. Raises UnknownPlugin where none is."""
        made: Tuner = default_catalogue().find(TUNERS, "default").create(trainer=self)
        return made

    def tune(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        scale_batch_size_kwargs: Mapping[str, Any] | None = None,
        lr_find_kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Find batch size and learning rate as the Trainer's arguments ask, write them into the model, and return them.

        The dict has a `"scale_batch_size"` with the size, and an `"lr_find"` with what `tuner.lr_find` returned, for
        what was asked. The batch size comes first: the learning rate is right for it.
        """
        asked, tuner, found = self._runner.asked, self.tuner, {}
        data = {
            "train_dataloaders": train_dataloaders,
            "val_dataloaders": val_dataloaders,
            "datamodule": datamodule,
        }
        if asked.auto_scale_batch_size:
            mode = "power" if asked.auto_scale_batch_size is True else asked.auto_scale_batch_size
            options = {"mode": mode, **(scale_batch_size_kwargs or {})}
            found["scale_batch_size"] = tuner.scale_batch_size(model, **data, **options)
        if asked.auto_lr_find:
            name = asked.auto_lr_find if isinstance(asked.auto_lr_find, str) else ""
            options = {"attr_name": name, **(lr_find_kwargs or {})}
            found["lr_find"] = tuner.lr_find(model, **data, **options)
        return found
