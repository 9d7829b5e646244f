"""What one call of `fit`, `validate`, `test` or `predict` was given."""

from __future__ import annotations

from dataclasses import dataclass

from fulmen_core.data import DataSource, LightningDataModule
from fulmen_core.module import LightningModule
from fulmen_interfaces import RunningStage, Stage

_DOING = {
    Stage.FIT: RunningStage.TRAINING,
    Stage.VALIDATE: RunningStage.VALIDATING,
    Stage.TEST: RunningStage.TESTING,
    Stage.PREDICT: RunningStage.PREDICTING,
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call."""

    stage: Stage
    module: LightningModule
    source: DataSource
    """Where loaders come from."""
    ckpt_path: str | None = None
    """A path; until the run begins perhaps `"last"`."""
    weights_only: bool | None = None
    verbose: bool = True
    return_predictions: bool = True
    gather: bool = False
    """Whether every rank gets the predictions of all."""

    @property
    def datamodule(self) -> LightningDataModule | None:
        """The data module, if one was given."""
        return self.source.datamodule

    @property
    def doing(self) -> RunningStage:
        """What the run does where nothing else goes on inside it."""
        return _DOING[self.stage]
