"""What a checkpoint must know of a moment besides counters and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from fulmen_core.logging import metric_states

if TYPE_CHECKING:
    from fulmen_core.data import EvaluationData
    from fulmen_core.random import RandomStates


@dataclass(frozen=True)
class Switches:
    """What hooks may turn on and off as training goes on: a part's training mode, and whether a weight is trained."""

    training: Mapping[str, bool]
    requires_grad: Mapping[str, bool]

    @classmethod
    def of(cls, module: nn.Module) -> Switches:
        """Return how they stand now."""
        return cls(
            {name: part.training for name, part in module.named_modules()},
            {name: parameter.requires_grad for name, parameter in module.named_parameters()},
        )

    def turn(self, module: nn.Module, changes: Mapping[str, Mapping[str, bool]]) -> None:
        """Turn a module's switches as they stood here, but for those that `since` returned."""
        training = {**self.training, **changes["training"]}
        requires_grad = {**self.requires_grad, **changes["requires_grad"]}
        for name, part in module.named_modules():
            part.training = training.get(name, part.training)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(requires_grad.get(name, parameter.requires_grad))

    def since(self, before: Switches) -> dict[str, dict[str, bool]]:
        """Return those that stood otherwise before, as plain values."""
        return {
            "training": _changed(before.training, self.training),
            "requires_grad": _changed(before.requires_grad, self.requires_grad),
        }


@dataclass(frozen=True)
class Standing:
    """What validation changes although training stands still."""

    random: Mapping[str, Any]
    metrics: Mapping[str, Any]
    switches: Switches
    validation: Mapping[str, Any] | None
    """The state of the validation data."""
    validation_batches: tuple[int, ...]

    @classmethod
    def take(
        cls, module: nn.Module, random: RandomStates, validation: EvaluationData | None, batches: list[int]
    ) -> Standing:
        """Return it as it is now."""
        return cls(
            random=random.capture(),
            metrics=metric_states(module, copied=True),
            switches=Switches.of(module),
            validation=None if validation is None else validation.state_dict(),
            validation_batches=tuple(batches),
        )


def _changed(before: Mapping[str, bool], now: Mapping[str, bool]) -> dict[str, bool]:
    return {name: value for name, value in now.items() if before.get(name, value) != value}
