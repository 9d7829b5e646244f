"""What every precision must do."""
# ruff: noqa: S101

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from fulmen_interfaces import PRECISIONS, AcceleratorSpec, Precision, PrecisionSpec
from fulmen_testing._fake_accelerator import FAKE_ACCELERATOR_SPEC
from fulmen_testing.conformance._base import Conformance
from fulmen_testing.conformance._precisions import can
from fulmen_testing.conformance._scenario import TORCH_DTYPES, SmallModel, new_batches, new_model

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Sample:
    """A batch as a dataclass."""

    x: torch.Tensor
    label: int


class PrecisionConformance(Conformance):
    """Runs a small model under the precision, on the accelerator that is named."""

    role = PRECISIONS
    spec: ClassVar[PrecisionSpec]
    accelerator: ClassVar[AcceleratorSpec] = FAKE_ACCELERATOR_SPEC
    """The family of devices to compute on."""

    @pytest.fixture(autouse=True)
    def default_dtype_for_others(self) -> Iterator[None]:
        """A precision that leaves another type behind fails its own test, and changes no other."""
        before = torch.get_default_dtype()
        yield
        torch.set_default_dtype(before)

    @pytest.fixture
    def device(self) -> torch.device:
        """The first device of the family, if it can compute in this precision."""
        if not can(self.accelerator, self.spec):
            pytest.skip(f"{self.accelerator.name} does not offer {self.spec.name}")
        probe = self.accelerator.probe()
        if not probe.available:
            pytest.skip(probe.reason)
        return self.accelerator.create().device(0)

    def test_implements_the_contract(self, plugin: Any) -> None:
        """If it fails: compare the methods with those of `Precision`; `policy` must be the spec's, under its name."""
        assert isinstance(plugin, Precision)
        assert plugin.policy == self.spec.policy
        assert self.spec.policy.name == self.spec.name

    def test_policy_agrees_with_itself(self) -> None:
        """If it fails: without autocast, weights are kept in the type that is computed in."""
        policy = self.spec.policy
        assert policy.autocast or policy.parameters is policy.compute

    # -- modules -------------------------------------------------------------------------------------------------------

    def test_converts_weights_in_place(self, plugin: Precision) -> None:
        """If it fails: convert the parameters of the module itself, for optimizers and the user hold on to them."""
        model = new_model()
        before = list(model.parameters())
        assert plugin.convert_module(model) is model
        assert all(one is other for one, other in zip(model.parameters(), before, strict=True))
        assert {parameter.dtype for parameter in model.parameters()} == {TORCH_DTYPES[self.spec.policy.parameters]}
        assert model.offset.dtype is TORCH_DTYPES[self.spec.policy.buffers]

    def test_leaves_what_is_not_floating_point(self, plugin: Precision) -> None:
        """If it fails: counters, indices and complex weights must keep their type."""
        module = nn.BatchNorm1d(3)
        module.register_buffer("phase", torch.ones(2, dtype=torch.complex64))
        plugin.convert_module(module)
        assert module.num_batches_tracked is not None
        assert module.num_batches_tracked.dtype is torch.int64
        assert module.get_buffer("phase").dtype is torch.complex64

    def test_keeps_tied_weights_tied(self, plugin: Precision) -> None:
        """If it fails: two names of one parameter must name one parameter also after conversion."""
        module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        module[1].weight = module[0].weight
        plugin.convert_module(module)
        assert module[0].weight is module[1].weight

    def test_new_modules_have_the_policys_types(self, plugin: Precision) -> None:
        """If it fails: `init_context` must make weights in the policy's type and then restore the default type."""
        with plugin.init_context():
            made = nn.Linear(2, 2)
        assert made.weight.dtype is TORCH_DTYPES[self.spec.policy.parameters]
        assert torch.get_default_dtype() is torch.float32

    # -- batches -------------------------------------------------------------------------------------------------------

    def test_converts_batches_however_nested(self, plugin: Precision) -> None:
        """If it fails: look into lists, tuples, named tuples, mappings and dataclasses, and keep their types."""
        convert = plugin.input_conversion() or (lambda batch: batch)
        x, indices = torch.ones(2), torch.arange(2)
        batch: dict[str, Any] = {
            "list": [x, "text"],
            "tuple": (x, indices),
            "named": Pair(x, None),
            "ordered": OrderedDict(a=x),
            "dataclass": Sample(x, 3),
        }
        result = convert(batch)
        expected = TORCH_DTYPES[self.spec.policy.compute] if plugin.input_conversion() else torch.float32
        floats = [result["list"][0], result["tuple"][0], result["named"].first, result["ordered"]["a"]]
        assert [value.dtype for value in [*floats, result["dataclass"].x]] == [expected] * 5
        assert result["tuple"][1].dtype is torch.int64
        assert (result["list"][1], result["named"].second, result["dataclass"].label) == ("text", None, 3)
        assert {name: type(value) for name, value in result.items()} == {n: type(v) for n, v in batch.items()}
        assert batch["list"][0].dtype is torch.float32, "the batch itself must be left as it is"

    # -- steps ---------------------------------------------------------------------------------------------------------

    def test_computes_in_the_policys_type(self, plugin: Precision, device: torch.device) -> None:
        """If it fails: within `forward_context`, a layer must produce the type that the policy computes in."""
        model, (x, _) = self.placed(plugin, device)
        with self.context(plugin, device):
            output = model.first(x)
        assert output.dtype is TORCH_DTYPES[self.spec.policy.compute]

    def test_agrees_with_double_precision(self, plugin: Precision, device: torch.device) -> None:
        """If it fails: the loss is further from the exact one than rounding to this type can explain."""
        model, (x, y) = self.placed(plugin, device)
        with self.context(plugin, device):
            loss = nn.functional.mse_loss(model(x), y)
        exact_x, exact_y = (tensor.double() for tensor in new_batches(1)[0])
        exact = nn.functional.mse_loss(new_model().double()(exact_x), exact_y)
        assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=8 * torch.finfo(self.compute).eps)

    def test_context_can_be_entered_again(self, plugin: Precision, device: torch.device) -> None:
        """If it fails: each call of the factory must give a context of its own; steps may be nested, or raise."""
        before = (torch.get_default_dtype(), torch.is_autocast_enabled(device.type))
        with self.context(plugin, device), self.context(plugin, device):
            pass
        with pytest.raises(ZeroDivisionError), self.context(plugin, device):
            raise ZeroDivisionError
        assert (torch.get_default_dtype(), torch.is_autocast_enabled(device.type)) == before

    def test_weights_used_without_gradient_first_get_one_later(self, plugin: Precision, device: torch.device) -> None:
        """If it fails: a copy of the weights in the low type, made under `no_grad`, was used again for training."""
        model, (x, y) = self.placed(plugin, device)
        with self.context(plugin, device):
            with torch.no_grad():
                model(x)
            loss = nn.functional.mse_loss(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is not None for parameter in model.parameters())

    # -- loss scaling --------------------------------------------------------------------------------------------------

    def test_scales_the_loss_if_the_policy_says_so(self, plugin: Precision, device: torch.device) -> None:
        """If it fails: `grad_scaler` must return a new scaler where the policy scales the loss, and None elsewhere."""
        scaler = plugin.grad_scaler(device.type)
        assert (scaler is not None) == self.spec.policy.loss_scaling
        if scaler is None:
            return
        assert plugin.grad_scaler(device.type) is not scaler
        model, (x, y) = self.placed(plugin, device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with self.context(plugin, device):
            loss = nn.functional.mse_loss(model(x), y)
        scaled = scaler.scale(loss)
        assert float(scaled.detach()) > float(loss.detach())
        scaled.backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        other = plugin.grad_scaler(device.type)
        assert other is not None
        other.load_state_dict(scaler.state_dict())
        assert other.state_dict() == scaler.state_dict()

    # -- helpers -------------------------------------------------------------------------------------------------------

    @property
    def compute(self) -> torch.dtype:
        """The type in which the policy computes."""
        return TORCH_DTYPES[self.spec.policy.compute]

    def placed(self, plugin: Precision, device: torch.device) -> tuple[SmallModel, tuple[torch.Tensor, torch.Tensor]]:
        """Return a model and a batch, converted and on the device."""
        model = new_model()
        plugin.convert_module(model)
        convert = plugin.input_conversion() or (lambda batch: batch)
        x, y = convert(new_batches(1)[0])
        return model.to(device), (x.to(device), y.to(device))

    def context(self, plugin: Precision, device: torch.device) -> Any:
        """Return a new context of a step."""
        factory = plugin.forward_context(device.type)
        return factory() if factory else nullcontext()
