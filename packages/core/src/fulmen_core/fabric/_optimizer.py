"""The optimizer as Fabric hands it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer

from fulmen_core.fabric._model import SetUpModel


class FabricOptimizer(Optimizer):
    """Steps through precision and strategy. Everything else is the wrapped optimizer's, which is `optimizer`.

    torch's schedulers can be made over it as over the wrapped one.
    """

    def __init__(self, optimizer: Optimizer, model: SetUpModel, after_step: Callable[[FabricOptimizer], None]) -> None:
        # The base is not initialised: groups and state are the wrapped optimizer's.
        self.optimizer = optimizer
        self.set_up_model = model
        self._after_step = after_step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step once; `closure`, where the optimizer wants one, computes the loss and its gradients anew."""
        result = self.set_up_model.prepared.step(self.optimizer, closure)
        self._after_step(self)
        return result

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, as a plain optimizer would. On all ranks."""
        return self.set_up_model.prepared.optimizer_state_dict(self.optimizer)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned under any strategy. On all ranks."""
        self.set_up_model.prepared.load_optimizer_state_dict(self.optimizer, state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters."""
        self.optimizer.add_param_group(param_group)

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of the wrapped optimizer."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The state of the wrapped optimizer, as it lies on this rank."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The defaults of the wrapped optimizer."""
        return self.optimizer.defaults

    def __getattr__(self, name: str) -> Any:
        if "optimizer" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.optimizer!r})"
