"""States by name, held against torch's own optimizers, modules and DTensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate

from fulmen_distributed import (
    load_module,
    load_optimizer,
    named_optimizer_state,
    parameter_names,
    read_optimizer,
    state_dict_type_of,
)
from fulmen_interfaces import ConfigurationError, SavedOptimizer, SavedState, StateDictType


class Held(SavedState):
    """Values in memory."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_by_name = dict(values)
        self.read_names: list[str] = []

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def outline(self, name: str) -> Tensor | None:
        value = self.values_by_name[name]
        return value.to("meta") if isinstance(value, Tensor) else None

    def read(self, into: Mapping[str, Tensor]) -> None:
        self.read_names += into
        for name, target in into.items():
            local = target.to_local() if isinstance(target, DTensor) else target
            local.copy_(self.values_by_name[name])


@dataclass
class HeldOptimizer:
    param_groups: list[dict[str, Any]]
    state: Held
    others: dict[str, Any] = field(default_factory=dict)


def held(named: Mapping[str, Any]) -> HeldOptimizer:
    entries = {f"{name}.{key}": value for name, values in named["state"].items() for key, value in values.items()}
    return HeldOptimizer(named["param_groups"], Held(entries))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Linear(2, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.second(self.first(features))


def trained(make: Any, *, backwards: bool = False) -> tuple[Model, torch.optim.Optimizer]:
    """Return a model and an optimizer that stepped once, over parameters in either order."""
    torch.manual_seed(0)
    model = Model()
    parameters = list(model.parameters())
    optimizer = make(parameters[::-1] if backwards else parameters)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.1)


@pytest.fixture
def mesh() -> Iterator[Any]:
    """A mesh of this process alone."""
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_names_stand_for_numbers() -> None:
    model, optimizer = trained(adam, backwards=True)
    named = named_optimizer_state(optimizer, parameter_names(model))
    assert named["param_groups"][0]["params"] == ["second.bias", "second.weight", "first.bias", "first.weight"]
    assert named["state"]["first.weight"]["exp_avg"] is optimizer.state[model.first.weight]["exp_avg"]


def test_a_state_finds_its_parameters_in_another_order() -> None:
    model, optimizer = trained(adam)
    other, resumed = trained(adam, backwards=True)
    resumed.state.clear()
    load_optimizer(resumed, held(named_optimizer_state(optimizer, parameter_names(model))), parameter_names(other))
    for name, parameter in other.named_parameters():
        expected = optimizer.state[model.get_parameter(name)]
        assert torch.equal(resumed.state[parameter]["exp_avg_sq"], expected["exp_avg_sq"])
        assert float(resumed.state[parameter]["step"]) == 1.0


def test_only_what_is_wanted_is_read() -> None:
    model, optimizer = trained(adam)
    saved: SavedOptimizer = held(named_optimizer_state(optimizer, parameter_names(model)))
    found = read_optimizer(optimizer, saved, parameter_names(model), wanted=lambda name: name == "first.bias")
    assert set(found["state"]) == {1}
    assert found["param_groups"] == optimizer.state_dict()["param_groups"]
    assert isinstance(saved.state, Held)
    assert {name.rpartition(".")[0] for name in saved.state.read_names} == {"first.bias"}


def test_groups_of_other_parameters_are_refused() -> None:
    model, optimizer = trained(adam)
    saved = held(named_optimizer_state(optimizer, parameter_names(model)))
    fewer = adam(list(model.first.parameters()))
    with pytest.raises(ValueError, match=r"group 0 has other parameters than were saved: second\.bias, second\.weight"):
        load_optimizer(fewer, saved, parameter_names(model))
    more = torch.optim.Adam([{"params": model.first.parameters()}, {"params": model.second.parameters()}])
    with pytest.raises(ValueError, match="it has 2 groups of parameters, but 1 were saved"):
        load_optimizer(more, saved, parameter_names(model))


def test_weights_are_checked_by_name_and_shape() -> None:
    model = Model()
    state = model.state_dict()
    load_module(model, Held({**state, "first.bias": torch.full((2,), 7.0)}))
    assert model.first.bias.tolist() == [7.0, 7.0]
    del state["first.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*first\.bias"):
        load_module(model, Held(state))
    load_module(model, Held({**state, "unknown": torch.ones(1)}), strict=False)
    with pytest.raises(RuntimeError, match=r"size mismatch for second\.bias"):
        load_module(model, Held({**model.state_dict(), "second.bias": torch.ones(9)}))


def test_parts_are_filled_where_parameters_are_parts(mesh: Any) -> None:
    plain, optimizer = trained(adam)
    torch.manual_seed(1)
    model = Model()
    fully_shard(model, mesh=mesh)
    load_module(model, Held(plain.state_dict()))
    resumed = adam(list(model.parameters()))
    load_optimizer(resumed, held(named_optimizer_state(optimizer, parameter_names(plain))), parameter_names(model))
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor)
        assert torch.equal(parameter.full_tensor(), plain.get_parameter(name))
        average = resumed.state[parameter]["exp_avg"]
        assert isinstance(average, DTensor)
        assert torch.equal(average.full_tensor(), optimizer.state[plain.get_parameter(name)]["exp_avg"])
        assert not isinstance(resumed.state[parameter]["step"], DTensor)


def test_states_of_other_shapes_lie_whole_beside_parts(mesh: Any) -> None:
    plain, optimizer = trained(lambda parameters: torch.optim.Adafactor(parameters, lr=0.1))
    model = Model()
    fully_shard(model, mesh=mesh)
    resumed = torch.optim.Adafactor(model.parameters(), lr=0.1)
    named = named_optimizer_state(optimizer, parameter_names(plain))
    load_optimizer(resumed, held(named), parameter_names(model))
    row = resumed.state[model.first.weight]["row_var"]
    assert isinstance(row, DTensor)
    assert row.placements == (Replicate(),)
    assert torch.equal(row.full_tensor(), optimizer.state[plain.first.weight]["row_var"])


def test_words_for_kinds_of_checkpoints() -> None:
    assert state_dict_type_of("sharded") is StateDictType.SHARDED
    with pytest.raises(ConfigurationError, match=r"shard.*full.*sharded"):
        state_dict_type_of("shard")
