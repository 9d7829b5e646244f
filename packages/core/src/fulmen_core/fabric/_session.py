"""What a Fabric has in each process once it is launched."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

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
        self.models: list[SetUpModel] = []
        self.newest: SetUpModel | None = None
        """The model that ran forward last, with gradients."""
        self.in_backward = False
        """Whether `Fabric.backward` is running."""

    def uneven_batches(self) -> AbstractContextManager[Any]:
        """Return the context in which ranks may evaluate a model on different numbers of batches.

        Raises ConfigurationError where several models would have to be run by all ranks in turn.
        """
        joint = [model.prepared for model in self.models if isinstance(model.prepared, SupportsJointEvaluation)]
        if not joint or self.world.size == 1:
            return nullcontext()
        if len(joint) > 1:
            reason = (
                f"Under {self.strategy.spec.name!r} all ranks take part in each pass of a model; with {len(joint)} "
                "models nobody can tell which one a rank without batches has to take part in."
            )
            raise ConfigurationError([Problem("even_batches", False, reason, "Leave it out, or evaluate one model.")])
        return joint[0].evaluating()

    def model_to_differentiate(self) -> SetUpModel:
        """Return the model whose strategy is to compute gradients, where the user named none."""
        if not self.models:
            raise FulmenError(
                "`fabric.backward` was called before any model was set up, so nothing says how gradients are computed. "
                "Call `fabric.setup(model, optimizer)` first."
            )
        return self.newest or self.models[0]
