"""A scheduler that is set aside."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer


class RestingScheduler:
    """Takes the place of a scheduler whose steps are left out from now on; its state stays its own."""

    def __init__(self, scheduler: Any, optimizer: Optimizer) -> None:
        self.scheduler = scheduler
        self.optimizer = optimizer

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def get_last_lr(self) -> list[float]:
        """Return the learning rates of now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scheduler that rests."""
        state: dict[str, Any] = self.scheduler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.scheduler.load_state_dict(state_dict)
