from __future__ import annotations

import pytest
import torch
from torch import nn

from fulmen_interfaces import BrokenPlugin, FulmenError, Placement, PrepareRequest, World
from fulmen_strategy_single_device import SINGLE_DEVICE_SPEC, SingleDeviceStrategy
from fulmen_testing import FakeAccelerator, FakePrecision, StrategyConformance


class TestConformance(StrategyConformance):
    spec = SINGLE_DEVICE_SPEC


def started(device: str = "cpu") -> SingleDeviceStrategy:
    strategy = SingleDeviceStrategy()
    strategy.start(Placement(World(), torch.device(device), FakeAccelerator()))
    return strategy


def test_nothing_is_wrapped() -> None:
    entry = nn.Sequential(nn.Linear(2, 1))
    prepared = started().prepare(PrepareRequest(entry[0], entry, list, FakePrecision()))
    assert prepared.training_module is entry
    assert prepared.evaluation_module is entry
    assert prepared.forward_context is None
    assert prepared.input_conversion is None


def test_optimizers_are_made_over_what_was_placed() -> None:
    entry = nn.Sequential(nn.Linear(2, 1))
    seen: list[torch.device] = []

    def make_optimizers() -> list[torch.optim.Optimizer]:
        seen.extend(parameter.device for parameter in entry.parameters())
        return [torch.optim.SGD(entry.parameters(), lr=0.1)]

    started("meta").prepare(PrepareRequest(entry[0], entry, make_optimizers, FakePrecision()))
    assert {device.type for device in seen} == {"meta"}


def test_modules_return_to_the_host_at_the_end() -> None:
    # torch can move nothing off its meta device, so a module stands in that notes where it is moved.
    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places: list[object] = []

        def to(self, device: object) -> Noting:  # type: ignore[override]
            self.places.append(torch.device(str(device)).type)
            return self

    entry = Noting()
    strategy = started("meta")
    strategy.prepare(PrepareRequest(nn.Linear(1, 1), entry, list, FakePrecision()))
    strategy.teardown()
    strategy.teardown()
    assert entry.places == ["meta", "cpu"]


def test_empty_modules_keep_ties_and_computed_buffers() -> None:
    class Tied(nn.Module):
        mask: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.head = nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight
            self.register_buffer("mask", torch.ones(3, 3).tril())

    torch.manual_seed(0)
    before = torch.get_rng_state()
    with SingleDeviceStrategy().init_context(torch.device("cpu"), empty=True):
        module = Tied()
    assert module.head.weight is module.embedding.weight
    assert torch.equal(module.mask, torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1]]))
    assert torch.equal(torch.get_rng_state(), before), "initial values were drawn"


def test_modules_are_made_on_the_device() -> None:
    with SingleDeviceStrategy().init_context(torch.device("meta")):
        assert nn.Linear(2, 2).weight.device.type == "meta"


def test_what_needs_a_device_says_so_before_start() -> None:
    strategy = SingleDeviceStrategy()
    module = nn.Linear(1, 1)
    with pytest.raises(FulmenError, match="`prepare` was called before `start`"):
        strategy.prepare(PrepareRequest(module, module, list, FakePrecision()))


def test_precision_that_makes_another_module_is_refused() -> None:
    class Replacing(FakePrecision):  # type: ignore[misc]
        def convert_module(self, module: nn.Module) -> nn.Module:
            return nn.Sequential(module)

    module = nn.Linear(1, 1)
    with pytest.raises(BrokenPlugin, match="'32-true' made a new module out of Linear"):
        started().prepare(PrepareRequest(module, module, list, Replacing()))
