from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Optimizer

from fulmen_distributed import PlainModel
from fulmen_interfaces import ClipAlgorithm, ConfigurationError, GradientClipping, ModuleError
from fulmen_testing import FakePrecision


def scaler(growth_interval: int = 2000) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=growth_interval)


def prepared(module: nn.Module, *optimizers: Optimizer, **changes: Any) -> PlainModel:
    return PlainModel(
        module=module,
        training_module=module,
        evaluation_module=module,
        optimizers=optimizers,
        precision=FakePrecision(),
        device_type="cpu",
        **changes,
    )


def weight(value: float = 0.0) -> nn.Linear:
    """A module of one weight w; with input x its output is w·x, so the gradient of the output is x."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def pull(model: PlainModel, module: nn.Module, gradient: float) -> None:
    model.backward(module(torch.tensor([[gradient]])).sum())


def sgd(*modules: nn.Module, lr: float = 1.0) -> SGD:
    return SGD([parameter for module in modules for parameter in module.parameters()], lr=lr)


# -- without a scaler


def test_backward_takes_the_arguments_of_torch() -> None:
    module = weight(3.0)
    model = prepared(module, sgd(module))
    output = module(torch.tensor([[2.0]]))
    model.backward(output, torch.tensor([[10.0]]), retain_graph=True)
    model.backward(output, gradient=torch.tensor([[1.0]]))
    assert module.weight.grad is not None
    assert module.weight.grad.item() == 22.0


def test_step_returns_what_the_optimizer_returns() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer)
    assert model.step(optimizer) is None
    assert model.step(optimizer, lambda: 7.0) == 7.0


def test_context_and_conversion_are_asked_of_the_precision_once() -> None:
    asked: list[str] = []

    class Asked(FakePrecision):  # type: ignore[misc]
        def forward_context(self, device_type: str) -> Callable[[], AbstractContextManager[Any]] | None:
            asked.append(device_type)
            return torch.no_grad

        def input_conversion(self) -> Callable[[Any], Any] | None:
            asked.append("input")
            return float

    model = PlainModel(
        module=weight(),
        training_module=weight(),
        evaluation_module=weight(),
        optimizers=(),
        precision=Asked(),
        device_type="sim",
    )
    assert [model.forward_context, model.forward_context] == [torch.no_grad] * 2
    assert [model.input_conversion, model.input_conversion] == [float] * 2
    assert asked == ["sim", "input"]


def test_value_clipping_bounds_each_element() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer)
    pull(model, module, -5.0)
    assert model.clip_gradients(optimizer, GradientClipping(2.0, ClipAlgorithm.VALUE)) is None
    model.step(optimizer)
    assert module.weight.item() == 2.0


def test_norm_clipping_sees_the_optimizers_own_parameters_only() -> None:
    first, second = weight(), weight()
    one, other = sgd(first), sgd(second)
    model = prepared(nn.Sequential(first, second), one, other)
    pull(model, first, 3.0)
    pull(model, second, 40.0)
    norm = model.clip_gradients(one, GradientClipping(1.5))
    assert norm is not None
    assert norm.item() == 3.0
    model.step(one)
    model.step(other)
    assert first.weight.item() == pytest.approx(-1.5, rel=1e-5)
    assert second.weight.item() == -40.0


def test_a_strategy_may_bring_its_own_norm_and_context() -> None:
    calls: list[Any] = []

    @contextmanager
    def no_sync() -> Iterator[None]:
        calls.append("no_sync")
        yield

    def clip_norm(optimizer: Optimizer, clipping: GradientClipping) -> torch.Tensor:
        calls.append((optimizer, clipping))
        return torch.tensor(9.0)

    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, no_sync=no_sync, clip_norm=clip_norm)
    with model.no_sync():
        pull(model, module, 1.0)
    clipping = GradientClipping(2.0, norm_type=3.0)
    norm = model.clip_gradients(optimizer, clipping)
    assert norm is not None
    assert norm.item() == 9.0
    assert calls == ["no_sync", (optimizer, clipping)]


def test_state_is_that_of_the_users_module() -> None:
    module = weight(2.0)
    wrapper = nn.Sequential(module)
    model = PlainModel(
        module=module,
        training_module=wrapper,
        evaluation_module=wrapper,
        optimizers=(),
        precision=FakePrecision(),
        device_type="cpu",
    )
    assert model.model_state_dict() == {"weight": torch.tensor([[2.0]])}
    model.load_model_state_dict({"weight": torch.tensor([[5.0]])})
    assert wrapper[0].weight.item() == 5.0


def test_scaler_state_is_left_out_without_a_scaler() -> None:
    model = prepared(weight())
    model.load_scaler_state_dict({"scale": 1.0})
    assert model.scaler_state_dict() == {}


# -- with a scaler


def test_gradients_are_scaled_until_they_are_read() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler())
    pull(model, module, 2.0)
    assert module.weight.grad is not None
    assert module.weight.grad.item() == 2048.0
    for _ in range(2):
        model.unscale_gradients(optimizer)
        assert module.weight.grad.item() == 2.0
    norm = model.clip_gradients(optimizer, GradientClipping(1.0))
    assert norm is not None
    assert norm.item() == 2.0
    model.step(optimizer)
    assert module.weight.item() == pytest.approx(-1.0, rel=1e-5)


def test_window_of_several_batches_is_unscaled_once() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler())
    for _ in range(3):
        pull(model, module, 2.0)
    model.step(optimizer)
    assert module.weight.item() == -6.0


def test_scale_grows_after_as_many_steps_as_the_scaler_says() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler(growth_interval=2))
    scales = []
    for _ in range(4):
        pull(model, module, 1.0)
        model.step(optimizer)
        optimizer.zero_grad()
        scales.append(model.scaler_state_dict()["scale"])
    assert scales == [1024.0, 2048.0, 2048.0, 4096.0]
    assert module.weight.item() == -4.0


def test_scale_does_not_change_between_two_steps_of_one_round() -> None:
    first, second = weight(), weight()
    one, other = sgd(first), sgd(second)
    model = prepared(nn.Sequential(first, second), one, other, scaler=scaler())
    pull(model, first, float("inf"))
    pull(model, second, 3.0)
    model.step(one)
    model.clip_gradients(other, GradientClipping(100.0))
    model.step(other)
    assert first.weight.item() == 0.0
    assert second.weight.item() == -3.0
    assert model.scaler_state_dict()["scale"] == 512.0


def test_scaler_is_up_to_date_once_all_have_stepped() -> None:
    module, own = weight(), scaler(growth_interval=1)
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=own)
    pull(model, module, 1.0)
    model.step(optimizer)
    assert own.get_scale() == 2048.0


def test_round_ends_also_where_gradients_are_kept() -> None:
    first, second = weight(), weight()
    one, other = sgd(first), sgd(second)
    model = prepared(nn.Sequential(first, second), one, other, scaler=scaler())
    for _ in range(2):
        first.zero_grad(set_to_none=False)
        pull(model, first, 2.0)
        model.clip_gradients(one, GradientClipping(100.0))
        model.step(one)
    assert first.weight.item() == -4.0


def test_losses_that_are_stepped_in_turn_are_each_scaled_anew() -> None:
    first, second = weight(), weight()
    one, other = sgd(first), sgd(second)
    model = prepared(nn.Sequential(first, second), one, other, scaler=scaler(growth_interval=1))
    for _ in range(2):
        for module, optimizer in ((first, one), (second, other)):
            optimizer.zero_grad()
            pull(model, module, 1.0)
            model.step(optimizer)
    assert (first.weight.item(), second.weight.item()) == (-2.0, -2.0)
    assert model.scaler_state_dict()["scale"] == 1024.0 * 2**4


def test_gradients_that_wait_for_their_step_keep_the_scale() -> None:
    first, second = weight(), weight()
    one, other = sgd(first), sgd(second)
    model = prepared(nn.Sequential(first, second), one, other, scaler=scaler(growth_interval=1))
    pull(model, first, 2.0)
    model.clip_gradients(one, GradientClipping(100.0))
    pull(model, second, 3.0)
    assert model.scaler_state_dict()["scale"] == 1024.0
    model.step(one)
    model.step(other)
    assert (first.weight.item(), second.weight.item()) == (-2.0, -3.0)
    assert model.scaler_state_dict()["scale"] == 2048.0


def test_step_that_is_left_out_after_clipping_does_no_harm() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler())
    pull(model, module, 50.0)
    model.clip_gradients(optimizer, GradientClipping(100.0))
    optimizer.zero_grad()
    pull(model, module, 2.0)
    model.clip_gradients(optimizer, GradientClipping(100.0))
    model.step(optimizer)
    assert module.weight.item() == -2.0


def test_true_and_scaled_gradients_are_never_added_in_silence() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler())
    pull(model, module, 1.0)
    model.unscale_gradients(optimizer)
    pull(model, module, 1.0)
    with pytest.raises(ModuleError, match="true and scaled ones cannot be added"):
        model.unscale_gradients(optimizer)


def test_step_before_any_loss_is_allowed() -> None:
    module = weight(1.0)
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler())
    model.unscale_gradients(optimizer)
    model.step(optimizer)
    assert model.step(optimizer, lambda: None) is None
    assert module.weight.item() == 1.0


def test_closure_runs_once_before_the_step() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler())
    calls: list[int] = []

    def closure() -> str:
        calls.append(1)
        pull(model, module, 2.0)
        model.unscale_gradients(optimizer)
        return "loss"

    assert model.step(optimizer, closure) == "loss"
    assert calls == [1]
    assert module.weight.item() == -2.0


def test_optimizer_that_needs_a_closure_is_refused_at_once() -> None:
    module = weight()
    with pytest.raises(ConfigurationError) as error:
        prepared(module, LBFGS(module.parameters()), scaler=scaler())
    (problem,) = error.value.problems
    assert problem.argument == "precision"
    assert "LBFGS" in problem.reason
    assert "bf16-mixed" in problem.remedy


def test_scaler_goes_on_from_its_state() -> None:
    module = weight()
    optimizer = sgd(module)
    model = prepared(module, optimizer, scaler=scaler(growth_interval=3))
    for _ in range(2):
        pull(model, module, 1.0)
        model.step(optimizer)
    again = prepared(module, optimizer, scaler=scaler(growth_interval=3))
    again.load_scaler_state_dict(model.scaler_state_dict())
    pull(again, module, 1.0)
    again.step(optimizer)
    assert again.scaler_state_dict()["scale"] == 2048.0
