"""What FairScale cannot share out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.optim import Optimizer

from fulmen_distributed import parameters_in_order, requires_closure
from fulmen_interfaces import ConfigurationError, Problem


def check_optimizers(optimizers: Sequence[Optimizer], *, strategy: str, world_size: int) -> None:
    """Raise ConfigurationError with everything that keeps these optimizers from being shared out."""
    problems = [Problem("strategy", strategy, reason, remedy) for reason, remedy in _objections(optimizers, world_size)]
    if problems:
        raise ConfigurationError(problems)


def _objections(optimizers: Sequence[Optimizer], world_size: int) -> Iterator[tuple[str, str]]:
    for optimizer in optimizers:
        name = type(optimizer).__name__
        if world_size > 1 and requires_closure(optimizer):
            reason = f"{name} looks at all parameters together, so no process can step a part of them."
            yield reason, "Use strategy='ddp', or another optimizer."
        types = {str(one.dtype) for one in parameters_in_order(optimizer) if one.requires_grad}
        if len(types) > 1:
            reason = f"The parameters of {name} are of several types ({', '.join(sorted(types))}); FairScale moves one."
            yield reason, "Give the parameters of each type an optimizer of their own, or use strategy='ddp'."
    parameters = [one for optimizer in optimizers for one in parameters_in_order(optimizer)]
    if len(set(parameters)) < len(parameters):
        reason = "Two optimizers have a parameter in common; its gradient can be sent to the owner in one of them only."
        yield reason, "Give each parameter to one optimizer, or use strategy='ddp'."
