"""Summaries, against layers counted by hand and sizes seen by hooks."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from fulmen_callbacks import ModelSummary, RichModelSummary, Summary, summarize
from fulmen_interfaces import CALLBACKS, CallbackRole, Catalogue, ConfigurationError, World


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))
        self.head = nn.Linear(16, 4, bias=False)
        self.head.weight.requires_grad = False
        self.scale = nn.Parameter(torch.ones(3))
        self.example_input_array: Any = torch.randn(5, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def rows(summary: Summary) -> dict[str, Any]:
    return {row.name: row for row in summary.layers}


def test_parameters_are_counted() -> None:
    summary = summarize(Net())
    found = rows(summary)
    assert list(found) == ["body", "head", "other params"]
    assert [row.parameters for row in found.values()] == [8 * 16 + 16 + 32, 64, 3]
    assert [row.type for row in found.values()] == ["Sequential", "Linear", "n/a"]
    assert summary.total_parameters == 176 + 64 + 3
    assert summary.trainable_parameters == 176 + 3
    assert summary.model_size == 4 * 243 / 1e6
    half = summarize(Net().to(torch.float16))
    assert half.model_size == 2 * 243 / 1e6


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (0, []),
        (1, ["body", "head", "other params"]),
        (-1, ["body", "body.0", "body.1", "body.2", "head", "other params"]),
    ],
)
def test_depth_chooses_the_layers(depth: int, names: list[str]) -> None:
    summary = summarize(Net(), depth)
    assert list(rows(summary)) == names
    assert summary.total_parameters == 243


def test_sizes_and_operations_come_from_one_forward_pass() -> None:
    summary = summarize(Net(), -1)
    found = rows(summary)
    assert (found["body.0"].in_size, found["body.0"].out_size) == ([5, 8], [5, 16])
    assert (found["head"].in_size, found["head"].out_size) == ([5, 16], [5, 4])
    assert found["body.0"].flops == found["body"].flops == 2 * 5 * 8 * 16
    assert found["head"].flops == 2 * 5 * 16 * 4
    assert summary.total_flops == 2 * 5 * (8 * 16 + 16 * 4)


def test_the_forward_pass_leaves_no_trace() -> None:
    net = Net()
    net.body[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = {name: layer.training for name, layer in net.named_modules()}
    torch.manual_seed(7)
    random = torch.get_rng_state()
    summary = summarize(net, -1)
    assert torch.equal(random, torch.get_rng_state())
    assert modes == {name: layer.training for name, layer in net.named_modules()}
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.modules())
    assert (summary.modules_in_train_mode, summary.modules_in_eval_mode) == (4, 1)
    assert rows(summary)["body.1"].mode == "eval"


@pytest.mark.parametrize(
    ("example", "sizes"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, 3)), [[2, 3], [2, 3]]),
        ({"b": torch.zeros(1, 3), "a": torch.zeros(1, 3, dtype=torch.float64)}, [[1, 3], [1, 3]]),
    ],
    ids=["several arguments", "named arguments"],
)
def test_examples_of_several_arguments(example: Any, sizes: Any) -> None:
    class Add(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, Any]:
            return {"sum": a + b, "text": "x", "pair": (a, b)}

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add, self.layer = Add(), nn.Linear(3, 1)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> Any:
            return self.layer(self.add(a, b)["sum"])

    found = rows(summarize(Outer(), example_input=example))
    assert found["add"].in_size == sizes
    assert found["add"].out_size == [sizes[0], None, sizes]


def test_layers_used_twice_show_their_first_sizes_and_all_operations() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.cat([self.layer(x), x]))

    (row,) = summarize(Twice(), example_input=torch.zeros(1, 4)).layers
    assert row.in_size == [1, 4]
    assert row.flops == 2 * 4 * 4 * (1 + 2)


def test_transformer_layers_are_counted_too() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    fast = torch.backends.mha.get_fastpath_enabled()
    summary = summarize(nn.Sequential(layer), example_input=torch.zeros(1, 5, 8))
    projections = 2 * 5 * (8 * 24 + 8 * 8 + 8 * 16 + 16 * 8)
    attention = 2 * (2 * 5 * 5 * 8)
    assert summary.total_flops in (projections, projections + attention)  # torch does not count every attention kernel
    assert torch.backends.mha.get_fastpath_enabled() is fast


def test_shared_and_unshaped_parameters() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.decoder = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
            self.decoder.weight = self.embedding.weight
            self.lazy = nn.LazyLinear(3)

    summary = summarize(Tied())
    assert summary.total_parameters == 40
    assert [row.parameters for row in summary.layers] == [40, 40, 0]


def test_a_forward_that_fails_costs_only_the_sizes() -> None:
    net = Net()
    with pytest.warns(UserWarning, match=r"shows no sizes.*RuntimeError.*set it to None"):
        summary = summarize(net, example_input=torch.zeros(5, 3))
    assert not summary.has_sizes
    assert summary.total_flops is None
    assert net.training


def test_the_text_is_a_table() -> None:
    net = Net()
    net.example_input_array = None
    assert str(summarize(net)) == "\n".join(
        [
            "  | Name         | Type       | Params | Mode",
            "----------------------------------------------",
            "0 | body         | Sequential | 176    | train",
            "1 | head         | Linear     | 64     | train",
            "2 | other params | n/a        | 3      | n/a",
            "----------------------------------------------",
            "179    trainable params",
            "64     non-trainable params",
            "243    total params",
            "0.001  estimated size of all params (MB)",
            "5      modules in train mode",
            "0      modules in eval mode",
        ]
    )
    assert "61.1 K" in str(summarize(nn.Sequential(nn.Linear(100, 605))))


@pytest.mark.parametrize("kind", [ModelSummary, RichModelSummary])
def test_callbacks_show_it_when_training_begins(kind: Any, make_trainer: Any, module: Any, capsys: Any) -> None:
    kind().on_fit_start(make_trainer(), module)
    output = capsys.readouterr()
    assert output.out == ""
    assert "0 | layer | Linear | 3      | train" in output.err
    kind(max_depth=0).on_fit_start(make_trainer(), module)
    kind().on_fit_start(make_trainer(world=World(rank=1, size=2)), module)
    assert capsys.readouterr().err == ""
    with pytest.raises(ConfigurationError, match="max_depth=-2"):
        kind(max_depth=-2)


def test_in_a_terminal_rich_draws_it(make_trainer: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    RichModelSummary(title="My model").on_fit_start(make_trainer(), Net())
    written = capsys.readouterr().out
    assert "My model" in written
    assert all(word in written for word in ("Sequential", "[5, 8]", "1.3 K", "total params"))


def test_it_is_the_default_summary() -> None:
    found = Catalogue.installed().find(CALLBACKS, "model_summary")
    assert found.spec.role is CallbackRole.MODEL_SUMMARY
    assert isinstance(found.create(), RichModelSummary)
