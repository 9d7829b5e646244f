"""A model that DeepSpeed's engine trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from fulmen_distributed import parameter_names, read_optimizer
from fulmen_interfaces import GradientClipping, ModuleError, SavedOptimizer, SavedState, StateDictType
from fulmen_strategy_deepspeed._gathering import Gathering
from fulmen_strategy_deepspeed._gradients import bound
from fulmen_strategy_deepspeed._optimizer_state import Groups, OptimizerState
from fulmen_strategy_deepspeed._pieces import Pieces, resident
from fulmen_strategy_deepspeed._scaling import load_scaler_state, scaler_state
from fulmen_strategy_deepspeed._weights import Weights
from fulmen_strategy_deepspeed._window import Window


@dataclass(frozen=True, kw_only=True)
class Conversions:
    """How steps get their inputs, and in which context they run."""

    forward_context: Callable[[], AbstractContextManager[Any]] | None = None
    input_conversion: Callable[[Any], Any] | None = None
    masters: bool = False
    """Whether weights are kept once more in float32, from which those that compute are rounded."""


@final
class ZeroModel:
    """Implements `PreparedModel` over an engine.

    And what is optional: `KeepsOwnGradients`, `SupportsJointEvaluation`, `SupportsShardedCheckpoint`. The engine is
    what is called to train; its `backward` and `step` are used. The losses that it gets are divided already, so it
    divides nothing.
    """

    def __init__(
        self,
        module: nn.Module,
        entry: nn.Module,
        *,
        engine: Any,
        groups: Groups,
        stage: int,
        conversions: Conversions,
        state_dict_type: StateDictType,
        gather: bool,
    ) -> None:
        self.training_module: nn.Module = engine
        self.evaluation_module = entry
        self.forward_context = conversions.forward_context
        self.input_conversion = conversions.input_conversion
        self.state_dict_type = state_dict_type
        self._module = module
        self._engine = engine
        self._stage = stage
        self._zero = engine.optimizer if groups else None
        self._clip_grad = self._zero.clip_grad if self._zero is not None else 0.0
        self.optimizers: Sequence[Optimizer] = (engine.basic_optimizer,) if groups else ()
        self._count = len(groups)
        pieces = Pieces(self._zero, stage=stage, device=engine.device) if groups else None
        on_drives = getattr(self._zero, "swap_optimizer", False)
        self._weights = Weights(module, None if on_drives else pieces, masters=conversions.masters)
        self._states = OptimizerState(pieces, groups) if pieces is not None else None
        self._window = Window(engine, pieces, stage=stage) if pieces is not None else None
        self._gathering = Gathering(engine, enabled=gather and stage == 3)
        self._names = parameter_names(module)

    # -- training ------------------------------------------------------------------------------------------------------

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients, which are reduced and divided among the ranks at once. Only `retain_graph` is taken."""
        retain = bool(kwargs.pop("retain_graph", False))
        if args or any(value is not None and value is not False for value in kwargs.values()):
            names = ", ".join(["gradient"] * bool(args) + sorted(kwargs))
            raise ModuleError(
                f"`backward` was called with {names}, but DeepSpeed's engine computes gradients of a scalar loss and "
                "takes `retain_graph` only. Use another strategy, or compute one loss."
            )
        self._check_groups()
        self._trained().backward(loss, retain_graph=retain)

    def no_sync(self) -> AbstractContextManager[None]:
        """Return a context in which gradients are added up for a later step."""
        return nullcontext() if self._window is None else self._window.left_open()

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Let DeepSpeed's own functions find the gradients. ZeRO divides by the loss scale in its step."""
        self._trained().make_ready()

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> torch.Tensor | None:
        """Bound the gradients of the coming step; return their true norm where the bound is one on the norm."""
        window = self._trained()
        window.make_ready()
        return bound(self._zero, clipping, stage=self._stage) if window.filled else None

    def scale_gradients(self, optimizer: Optimizer, factor: float) -> None:
        """Multiply the gradients of the coming step."""
        self._trained().multiply(factor)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step. The closure is run once, before, and its value returned. Without gradients nothing happens."""
        loss = closure() if closure is not None else None
        window = self._trained()
        window.make_ready()
        if window.filled:
            self._engine.step()
            self._engine.optimizer.clip_grad = self._clip_grad
            window.end()
        return loss

    # -- evaluation ----------------------------------------------------------------------------------------------------

    def evaluating(self) -> AbstractContextManager[Any]:
        """Return a context in which steps of an evaluation may run as often as each rank likes."""
        return self._gathering.whole() if self._gathering.enabled else nullcontext()

    # -- state as plain files hold it ----------------------------------------------------------------------------------

    def model_state_dict(self) -> dict[str, Any]:
        """Return the module's state; what is divided is whole on rank zero, and absent on the others."""
        return self._weights.state(lambda number: 0)

    def load_model_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Load the module's state. Each rank takes its part."""
        resident(self._zero)
        self._weights.load(state, strict=strict)

    def optimizer_state_dict(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the state that the optimizer alone would have, whole on rank zero."""
        return {**self._states_of(optimizer).get(lambda number: 0), **self._scheduler_state()}

    def load_optimizer_state_dict(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load such a state, written under any strategy. Each rank takes its part."""
        self._states_of(optimizer).set(state)
        if "deepspeed_scheduler" in state and self._engine.lr_scheduler is not None:
            self._engine.lr_scheduler.load_state_dict(state["deepspeed_scheduler"])

    def scaler_state_dict(self) -> dict[str, Any]:
        """Return the loss scaler's state, with the names that torch's has; empty where none adapts."""
        return {} if self._zero is None else scaler_state(self._zero.loss_scaler)

    def load_scaler_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the loss scaler's state, also one of torch's."""
        if self._zero is not None:
            load_scaler_state(self._zero.loss_scaler, state)

    # -- state in directories ------------------------------------------------------------------------------------------

    def sharded_model_state(self) -> dict[str, Any]:
        """Return the module's state; tensors that are divided are shared out among the ranks, each whole."""
        size = dist.get_world_size()
        return self._weights.state(lambda number: number % size)

    def load_sharded_model_state(self, saved: SavedState, *, strict: bool = True) -> None:
        """Load the module's state, one tensor after the other."""
        resident(self._zero)
        self._weights.load(saved, strict=strict)

    def sharded_optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state by name; the parameters are shared out among the ranks."""
        size, states = dist.get_world_size(), self._states_of(optimizer)
        names = [self._name(number, one) for number, one in enumerate(states.parameters)]
        found = states.get(lambda number: number % size)
        return {
            "state": {names[number]: values for number, values in found["state"].items()},
            "param_groups": [
                {**one, "params": [names[number] for number in one["params"]]} for one in found["param_groups"]
            ],
            **self._scheduler_state(),
        }

    def load_sharded_optimizer_state(self, optimizer: Optimizer, saved: SavedOptimizer) -> None:
        """Load the optimizer's state. Each rank takes its part of what it reads whole."""
        states = self._states_of(optimizer)
        stand_in = torch.optim.SGD([{"params": list(group)} for group in states.groups], lr=0.0)
        self.load_optimizer_state_dict(optimizer, read_optimizer(stand_in, saved, self._names))

    # -- gradients of an accumulation window -------------------------------------------------------------------------

    @property
    def gradients_are_reduced(self) -> bool:
        """Whether they are parts of the mean over all ranks: in stage 1 they are each rank's own at first."""
        return self._window is not None and self._window.reduced

    def gradient_parts(self) -> dict[str, torch.Tensor]:
        """Return copies of what this rank has of the gradients so far, by name."""
        parts = {} if self._window is None else self._window.gradients()
        return {self._names[one]: part for one, part in parts.items() if one in self._names}

    def load_gradients(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Begin with these, to which the next backward pass adds. ValueError where they do not fit."""
        window = self._trained()
        named = {name: one for one, name in self._names.items()}
        if unknown := sorted(set(gradients) - set(named)):
            raise ValueError(f"there is no parameter {', '.join(unknown)}")
        window.begin_with((named[name], gradients[name]) for name in gradients if named[name] in window.parameters)

    # -- the end -------------------------------------------------------------------------------------------------------

    def release(self, *, restore: bool) -> None:
        """Take the engine's hooks away. With `restore`, the module gets whole parameters of its own in host memory."""
        self._gathering.remove_hooks()
        if restore:
            self._gathering.give_back(self._module, dict(self._weights.restored()))
            self._weights.restore_buffers()

    def _trained(self) -> Window:
        if self._window is None:
            raise ModuleError("The model was prepared for evaluation, so it has no gradients. Train it within a fit.")
        return self._window

    def _check_groups(self) -> None:
        if any(len(one.param_groups) != self._count for one in self.optimizers):
            raise ModuleError(
                "Parameters were added to the optimizer during a run, but ZeRO divides those that are there when it "
                "begins. Give it all from the start, let them require gradients, and freeze what is to wait afterwards."
            )

    def _states_of(self, optimizer: Optimizer) -> OptimizerState:
        if self._states is None:
            raise ModuleError(
                f"The state of {type(optimizer).__name__} was asked for, but the model was prepared for evaluation, "
                "without optimizers. Ask within a fit, or after it."
            )
        resident(self._zero)
        return self._states

    def _scheduler_state(self) -> dict[str, Any]:
        """What the scheduler of the config needs to go on; it is the engine that steps it."""
        scheduler = self._engine.lr_scheduler
        return {} if scheduler is None else {"deepspeed_scheduler": scheduler.state_dict()}

    def _name(self, number: int, parameter: nn.Parameter) -> str:
        return self._names.get(parameter, f"parameter {number}")
