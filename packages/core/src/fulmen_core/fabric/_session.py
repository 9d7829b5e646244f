"""What a Fabric has in each process once it is launched."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from fulmen_core.fabric._scaling import JointPrecision
from fulmen_core.resolver import RunPlan
from fulmen_interfaces import (
    ConfigurationError,
    FulmenError,
    Precision,
    Problem,
    Strategy,
    SupportsJointEvaluation,
    World,
)

if TYPE_CHECKING:
    from fulmen_core.fabric._model import SetUpModel


class FabricSession:
    """This process' device, its connection to the others, and the models that were set up on it."""

    def __init__(self, plan: RunPlan, strategy: Strategy, precision: Precision, world: World) -> None:
        placement = plan.place(world)
        strategy.start(placement)
        self.world = world
        self.device = placement.device
        self.accelerator = placement.accelerator
        self.strategy = strategy
        self.collectives = strategy.collectives
        self.precision: Precision = JointPrecision(precision) if precision.policy.loss_scaling else precision
        self._models: list[ReferenceType[SetUpModel]] = []
        self.newest: ReferenceType[SetUpModel] | None = None
        """The model that ran forward last, with gradients."""
        self.differentiated: SetUpModel | None = None
        """The model whose strategy computes gradients, while `Fabric.backward` is running."""

    @property
    def models(self) -> list[SetUpModel]:
        """The models that were set up, in that order, but for those that nobody uses any more."""
        return [model for reference in self._models if (model := reference()) is not None]

    def add(self, model: SetUpModel) -> None:
        """Know another model."""
        self._models = [*map(ref, self.models), ref(model)]

    def uneven_batches(self) -> AbstractContextManager[Any]:
        """Return the context in which ranks may evaluate a model on different numbers of batches.

        Raises ConfigurationError where several models would have to be run by all ranks in turn.
        """
        joint = self._evaluated_jointly()
        if not joint or self.world.size == 1:
            return nullcontext()
        if len(joint) > 1:
            gc.collect()  # a model that is not used any more may still be there, for its parts refer to each other
            joint = self._evaluated_jointly()
        if len(joint) > 1:
            reason = (
                f"Under {self.strategy.spec.name!r} all ranks take part in each pass of a model; with {len(joint)} "
                "models nobody can tell which one a rank without batches has to take part in."
            )
            raise ConfigurationError([Problem("even_batches", False, reason, "Leave it out, or evaluate one model.")])
        return joint[0].evaluating()

    def model_to_differentiate(self) -> SetUpModel:
        """Return the model whose strategy is to compute gradients, where the user named none."""
        newest = None if self.newest is None else self.newest()
        if newest is not None:
            return newest
        models = self.models
        if not models:
            raise FulmenError(
                "`fabric.backward` was called before any model was set up, so nothing says how gradients are computed. "
                "Call `fabric.setup(model, optimizer)` first."
            )
        return models[0]

    def _evaluated_jointly(self) -> list[SupportsJointEvaluation]:
        return [model.prepared for model in self.models if isinstance(model.prepared, SupportsJointEvaluation)]
