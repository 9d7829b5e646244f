"""Strategies: how one model is trained over one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fulmen_interfaces._plugin import PluginSpec
from fulmen_interfaces._precision import ALL_DTYPES, DType, GradScaler, Precision
from fulmen_interfaces._world import Collectives, World

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

    from fulmen_interfaces._accelerator import Accelerator
    from fulmen_interfaces._launch import ClusterEnvironment


class ClipAlgorithm(str, Enum):
    """How gradients are bounded."""

    NORM = "norm"
    """All gradients together are scaled down to the limit if their norm is above it."""
    VALUE = "value"
    """Each element is clamped to plus or minus the limit."""


@dataclass(frozen=True)
class GradientClipping:
    """The bound on gradients that a run was configured with."""

    limit: float
    algorithm: ClipAlgorithm = ClipAlgorithm.NORM
    norm_type: float = 2.0
    """Which norm it is; infinity: that of the largest element. A strategy that cannot raises ConfigurationError."""


@dataclass(frozen=True)
class Placement:
    """Where this process works."""

    world: World
    device: torch.device
    accelerator: Accelerator
    environment: ClusterEnvironment | None = None
    """Where the processes meet; None in a run with one process."""


@dataclass(frozen=True)
class PrepareRequest:
    """All that a strategy needs to make a model ready."""

    module: nn.Module
    """The user's module: its parameters are trained, its state is saved."""
    entry: nn.Module
    """What is called: contains `module`, and its `forward` runs any step. This is what is wrapped."""
    make_optimizers: Callable[[], Sequence[Optimizer]]
    """Makes the optimizers over `module`'s parameters as they are at that moment. To be called once, by the
    strategy, when the parameters are the ones to be trained (before or after wrapping). Empty when evaluating."""
    precision: Precision
    clipping: GradientClipping | None = None
    accumulate_grad_batches: int = 1
    sync_batchnorm: bool = False
    training: bool = True
    """Whether steps will be taken. Strategies that can make optimizers themselves make none for evaluation alone."""


class ForwardPass(Protocol):
    """How steps are called."""

    @property
    def training_module(self) -> nn.Module:
        """What is called to train: the wrapper, or `entry` itself where nothing needs wrapping."""
        ...

    @property
    def evaluation_module(self) -> nn.Module:
        """What is called to evaluate; it must not communicate where `entry` does not."""
        ...

    @property
    def forward_context(self) -> Callable[[], AbstractContextManager[Any]] | None:
        """Factory of the context in which a step runs, or None."""
        ...

    @property
    def input_conversion(self) -> Callable[[Any], Any] | None:
        """What converts a batch's element types, or None."""
        ...


class GradientPass(Protocol):
    """What happens between a loss and new weights."""

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers to step, in the order in which they were made."""
        ...

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients; further arguments are those of `Tensor.backward`."""
        ...

    def no_sync(self) -> AbstractContextManager[Any]:
        """Return a context for forward and backward of a batch that does not end an accumulation window."""
        ...

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Divide gradients by the loss scale, where there is one. Called before each step, after the last backward.

        Whatever reads gradients comes after it: hooks, clipping, a norm. A second call before the same step does
        nothing; `clip_gradients` and `step` do it by themselves.
        """
        ...

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> torch.Tensor | None:
        """Bound that optimizer's unscaled gradients; return their norm before, where it was computed."""
        ...

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step one optimizer and return what it returned. `closure` computes loss and gradients anew."""
        ...


class StateAccess(Protocol):
    """State as plain files hold it: whole, with the user's names, wherever the pieces lie. Called on all ranks."""

    def model_state_dict(self) -> dict[str, Any]:
        """Return the module's state under the module's own names (on rank zero at least)."""
        ...

    def load_model_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Load what `model_state_dict` returned under any strategy."""
        ...

    def optimizer_state_dict(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state as a plain optimizer's `state_dict` would be."""
        ...

    def load_optimizer_state_dict(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load what `optimizer_state_dict` returned under any strategy."""
        ...

    def scaler_state_dict(self) -> dict[str, Any]:
        """Return the loss scaler's state; empty where there is none."""
        ...

    def load_scaler_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `scaler_state_dict` returned."""
        ...


class PreparedModel(ForwardPass, GradientPass, StateAccess, Protocol):
    """A model ready to be trained or evaluated."""


@runtime_checkable
class Strategy(Protocol):
    """How one model is trained over one or several processes. One object serves one Trainer or Fabric."""

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        ...

    @property
    def collectives(self) -> Collectives:
        """How its processes speak to each other, from `start` on.

        Processes may stay joined after `teardown`, for a checkpoint is often saved after a run: what this returned
        during the run then still works, as long as all of them call it. Asked after `teardown`, it may be that of a
        process that is alone.
        """
        ...

    @property
    def root_device(self) -> torch.device:
        """The device of this process in the newest run; the host's before the first `start`."""
        ...

    def start(self, placement: Placement) -> None:
        """Join the other processes. Called once per run on every rank, before data or model exist."""
        ...

    def prepare(self, request: PrepareRequest) -> PreparedModel:
        """Place, convert and wrap the model and make its optimizers. Called on every rank."""
        ...

    def teardown(self) -> None:
        """Leave the other processes and free what was held. Called on every rank, also after errors."""
        ...


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A combination that a strategy cannot run although each part alone would do."""

    reason: str
    remedy: str
    device_types: frozenset[str] | None = None
    """It applies to these device types; None: to all."""
    precisions: frozenset[str] | None = None
    """It applies to these precisions, by canonical name; None: to all."""


@dataclass(frozen=True, kw_only=True)
class StrategySpec(PluginSpec[Strategy]):
    """A way to train over processes."""

    priority: int
    """`strategy="auto"` takes the highest of those that fit."""
    max_devices: int | None = None
    """Devices in all machines together that it can use; None: any number."""
    multi_node: bool = True
    """Whether it works over several machines."""
    needs_process_group: bool = True
    """Whether it needs `torch.distributed` also with one process."""
    launcher: str | None = None
    """The launcher that starts its processes where nothing else did; None: the calling process alone."""
    device_types: frozenset[str] | None = None
    """Device types that it supports; None: any."""
    autocast: frozenset[DType] = ALL_DTYPES
    """Types that it can compute in while weights stay in another."""
    cast: frozenset[DType] = ALL_DTYPES
    """Types that the whole model can be converted to."""
    loss_scaling: bool = True
    """Whether it can scale the loss."""
    late_optimizers: bool = True
    """Whether optimizers may also be made over a model's parameters after `prepare`, and are stepped as they are.

    Not so where the strategy or its library makes something else of them."""
    writable_weights: bool = True
    """Whether what is written into parameters between steps, whole or in pieces (DTensor), is what is trained on."""
    refusals: tuple[Refusal, ...] = ()


@runtime_checkable
class SupportsLossScaling(Protocol):
    """A prepared model that shows what scales its loss."""

    @property
    def scaler(self) -> GradScaler | None:
        """The scaler; None where the precision needs none."""
        ...


@runtime_checkable
class KeepsOwnGradients(Protocol):
    """A prepared model whose gradients do not lie in `parameter.grad`. On all ranks; names are the module's."""

    def gradient_parts(self) -> dict[str, torch.Tensor]:
        """Return copies of what this process has of the gradients added up since the last step, by name.

        These are whole gradients of its own batches, or, where `gradients_are_reduced`, flat parts of the mean over
        all ranks: one of each name on every rank, empty ones too, which in the order of ranks make the whole.
        """
        ...

    @property
    def gradients_are_reduced(self) -> bool:
        """Which of the two `gradient_parts` returned; before there are gradients, which `load_gradients` takes."""
        ...

    def load_gradients(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Begin with whole gradients, to which the next backward pass adds: the mean where they are reduced.

        Any shape with as many elements will do. ValueError, and nothing is loaded, where they do not fit.
        """
        ...

    def scale_gradients(self, optimizer: Optimizer, factor: float) -> None:
        """Multiply that optimizer's gradients. Called after the last backward before its step."""
        ...


@runtime_checkable
class SupportsJointEvaluation(Protocol):
    """A prepared model that communicates when it evaluates, for no process has all weights."""

    def evaluating(self) -> AbstractContextManager[Any]:
        """Return the context around all batches of one loader, which every rank enters, also one without a batch.

        Inside, ranks may run different numbers of batches; all of them leave it together.
        """
        ...


@runtime_checkable
class SupportsModuleInit(Protocol):
    """A strategy in which large modules are made in pieces, or without memory."""

    def init_context(self, device: torch.device, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context for making modules: on that device, where `empty` without computing initial weights.

        Asked before `start`, too, for users make modules before a run. A strategy that makes them in pieces then
        makes them whole on `device`, or without memory where `empty`.
        """
        ...
