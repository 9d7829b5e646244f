"""The trainer's arguments as they count: defaults filled in."""

from __future__ import annotations

from fulmen_core.trainer.properties._base import TrainerBase


class SettingsProperties(TrainerBase):
    """What the run was asked to be. For other values make another Trainer."""

    @property
    def limit_train_batches(self) -> int | float:
        """Training batches of an epoch (int), or the share of them (float)."""
        return self._runner.settings.limit_train_batches

    @property
    def limit_val_batches(self) -> int | float:
        """Validation batches of each loader (int), or the share of them (float)."""
        return self._runner.settings.limit_val_batches

    @property
    def limit_test_batches(self) -> int | float:
        """Test batches of each loader (int), or the share of them (float)."""
        return self._runner.settings.limit_test_batches

    @property
    def limit_predict_batches(self) -> int | float:
        """Prediction batches of each loader (int), or the share of them (float)."""
        return self._runner.settings.limit_predict_batches

    @property
    def overfit_batches(self) -> int | float:
        """Batches that are trained again and again (int), or the share of them (float); 0: all are trained."""
        return self._runner.settings.overfit_batches

    @property
    def num_sanity_val_steps(self) -> int | float:
        """Validation batches of each loader that run before training; infinity: all."""
        return self._runner.settings.num_sanity_val_steps

    @property
    def reload_dataloaders_every_n_epochs(self) -> int:
        """Epochs after which loaders are asked for again; 0: never."""
        return self._runner.settings.reload_dataloaders_every_n_epochs

    @property
    def gradient_clip_val(self) -> float | None:
        """The limit of gradients; None where they have none."""
        clipping = self._runner.settings.gradient_clipping
        return None if clipping is None else clipping.limit

    @property
    def gradient_clip_algorithm(self) -> str | None:
        """What the limit means, "norm" or "value"; None where there is none."""
        clipping = self._runner.settings.gradient_clipping
        return None if clipping is None else clipping.algorithm.value

    @property
    def barebones(self) -> bool:
        """Whether nothing but training happens."""
        return self._runner.settings.barebones

    @property
    def enable_autolog_hparams(self) -> bool:
        """Whether hyper-parameters are sent to the loggers when a run begins."""
        return self._runner.settings.enable_autolog_hparams
