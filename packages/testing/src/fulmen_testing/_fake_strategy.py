"""A strategy for tests: one process, nothing wrapped, every call recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from fulmen_interfaces import (
    ClipAlgorithm,
    Collectives,
    GradientClipping,
    Placement,
    PrepareRequest,
    SingleProcessCollectives,
    StrategySpec,
)


@final
class FakePreparedModel:
    """The plainest model that is ready, without loss scaling. `calls` names what was called, in order."""

    def __init__(self, request: PrepareRequest, device: torch.device) -> None:
        self.calls: list[str] = []
        self._module = request.precision.convert_module(request.module)
        self._entry = request.entry.to(device)
        self._optimizers = tuple(request.make_optimizers())
        self._forward_context = request.precision.forward_context(device.type)
        self._input_conversion = request.precision.input_conversion()

    @property
    def training_module(self) -> nn.Module:
        """The entry itself."""
        return self._entry

    @property
    def evaluation_module(self) -> nn.Module:
        """The entry itself."""
        return self._entry

    @property
    def forward_context(self) -> Callable[[], AbstractContextManager[Any]] | None:
        """What the precision asks for."""
        return self._forward_context

    @property
    def input_conversion(self) -> Callable[[Any], Any] | None:
        """What the precision asks for."""
        return self._input_conversion

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Those that were made."""
        return self._optimizers

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients."""
        self.calls.append("backward")
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def no_sync(self) -> AbstractContextManager[Any]:
        """Record that the batch does not end its window."""
        self.calls.append("no_sync")
        return nullcontext()

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Record the call: nothing is scaled."""
        self.calls.append("unscale_gradients")

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> torch.Tensor | None:
        """Bound gradients."""
        self.calls.append("clip_gradients")
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if clipping.algorithm is ClipAlgorithm.NORM:
            return clip_grad_norm_(parameters, clipping.limit)
        clip_grad_value_(parameters, clipping.limit)
        return None

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step."""
        self.calls.append("step")
        return optimizer.step() if closure is None else optimizer.step(closure)

    def model_state_dict(self) -> dict[str, Any]:
        """Return the module's state."""
        return self._module.state_dict()

    def load_model_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Load the module's state."""
        self._module.load_state_dict(state, strict=strict)

    def optimizer_state_dict(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state."""
        return optimizer.state_dict()

    def load_optimizer_state_dict(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load the optimizer's state."""
        optimizer.load_state_dict(dict(state))

    def scaler_state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no scaler."""
        return {}

    def load_scaler_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load nothing."""


@final
class FakeStrategy:
    """Trains in the calling process. `calls` names what was called, `prepared` holds what it made."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.prepared: list[FakePreparedModel] = []
        self._device = torch.device("cpu")

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return FAKE_STRATEGY_SPEC

    @property
    def collectives(self) -> Collectives:
        """Those of a single process."""
        return SingleProcessCollectives()

    @property
    def root_device(self) -> torch.device:
        """The device of the newest run; the host's before the first."""
        return self._device

    def start(self, placement: Placement) -> None:
        """Remember the device."""
        self.calls.append("start")
        self._device = placement.device

    def prepare(self, request: PrepareRequest) -> FakePreparedModel:
        """Place the model and make its optimizers."""
        self.calls.append("prepare")
        self.prepared.append(FakePreparedModel(request, self._device))
        return self.prepared[-1]

    def teardown(self) -> None:
        """Record the call."""
        self.calls.append("teardown")


FAKE_STRATEGY_SPEC = StrategySpec(
    name="fake",
    create=FakeStrategy,
    summary="One process, every call recorded, for tests.",
    priority=100,
    max_devices=1,
    multi_node=False,
    needs_process_group=False,
    loss_scaling=False,
)
