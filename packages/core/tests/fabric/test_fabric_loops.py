"""Weights after a loop with Fabric equal those of the same loop written with torch alone, and those of a Trainer."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from fabric_cases import Net, cpu, differences, loader, sgd, train, twins
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from fulmen_core import Trainer

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
TYPES = {"64-true": torch.float64, "32-true": torch.float32, "bf16-true": torch.bfloat16}


@pytest.mark.parametrize("precision", TYPES)
def test_a_converted_model_is_trained_as_torch_trains_it(precision: str) -> None:
    ours, theirs = twins()
    fabric = cpu(precision=precision)
    model, optimizer = fabric.setup(ours, sgd(ours))
    theirs.to(TYPES[precision])
    plain = sgd(theirs)
    for x, y in loader():
        optimizer.zero_grad()
        output = model(x)
        y = y.to(output.dtype)
        fabric.backward(mse_loss(output, y))
        optimizer.step()
        plain.zero_grad()
        mse_loss(theirs(x.to(TYPES[precision])).to(y.dtype), y).backward()
        plain.step()
    assert next(ours.parameters()).dtype is TYPES[precision]
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_is_torchs_own(precision: str) -> None:
    ours, theirs = twins()
    fabric = cpu(precision=precision)
    model, optimizer = fabric.setup(ours, sgd(ours))
    plain = sgd(theirs)
    scaled = precision == "16-mixed"
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    for x, y in loader():
        optimizer.zero_grad()
        output = model(x)
        assert output.dtype is torch.float32
        fabric.backward(mse_loss(output, y))
        norm = fabric.clip_gradients(model, optimizer, max_norm=0.5)
        optimizer.step()

        plain.zero_grad()
        with torch.autocast("cpu", torch.float16 if scaled else torch.bfloat16, cache_enabled=False):
            output = theirs(x)
        scaler.scale(mse_loss(output.float(), y)).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(plain)
        truth = clip_grad_norm_(theirs.parameters(), 0.5)
        assert torch.allclose(norm, truth, rtol=0, atol=0, equal_nan=True)
        scaler.step(plain)
        scaler.update()
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (3, None), (3, 0.2)])
def test_a_trainer_trains_the_same_module_to_the_same_bits(precision: Any, accumulate: int, clip: float | None) -> None:
    ours, theirs = twins()
    train(cpu(precision=precision), ours, accumulate=accumulate, clip=clip)
    Trainer(
        accelerator="cpu", devices=1, max_epochs=2, precision=precision, accumulate_grad_batches=accumulate,
        gradient_clip_val=clip, **QUIET,
    ).fit(theirs, loader())  # fmt: skip
    assert differences(ours, theirs) == []


@pytest.mark.parametrize(
    ("arguments", "clip"),
    [
        ({"clip_val": 0.01}, lambda parameters: clip_grad_value_(parameters, 0.01)),
        ({"max_norm": 0.1}, lambda parameters: clip_grad_norm_(parameters, 0.1)),
        ({"max_norm": 0.1, "norm_type": 1}, lambda parameters: clip_grad_norm_(parameters, 0.1, 1.0)),
        ({"max_norm": 0.1, "norm_type": "inf"}, lambda parameters: clip_grad_norm_(parameters, 0.1, float("inf"))),
    ],
)
def test_gradients_are_bounded_as_torch_does(arguments: dict[str, Any], clip: Any) -> None:
    ours, theirs = twins()
    fabric = cpu()
    model, optimizer = fabric.setup(ours, sgd(ours))
    x, y = next(iter(loader()))
    fabric.backward(mse_loss(model(x), y))
    mse_loss(theirs(x), y).backward()
    if arguments.get("norm_type") == "inf":
        arguments = {**arguments, "norm_type": float("inf")}
    norm, truth = fabric.clip_gradients(model, optimizer, **arguments), clip(theirs.parameters())
    assert norm is None if truth is None else torch.equal(norm, truth)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


def test_a_norm_that_is_no_number_raises_unless_told_otherwise() -> None:
    fabric, module = cpu(), Net()
    model, optimizer = fabric.setup(module, sgd(module))
    fabric.backward(model(torch.full((1, 3), 1.0)).sum() * float("inf"))
    with pytest.raises(RuntimeError, match=r"norm of the gradients is (nan|inf)"):
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
    assert not fabric.clip_gradients(model, optimizer, max_norm=1.0, error_if_nonfinite=False).isfinite()


def test_an_overflow_under_loss_scaling_leaves_the_step_out() -> None:
    fabric, module = cpu(precision="16-mixed"), Net()
    model, optimizer = fabric.setup(module, sgd(module))
    before = copy.deepcopy(module)
    fabric.backward(model(torch.randn(1, 3)).sum() * 1e38)
    fabric.clip_gradients(model, optimizer, max_norm=1.0)
    optimizer.step()
    assert differences(module, before) == []


def test_an_optimizer_that_wants_a_closure_gets_it() -> None:
    ours, theirs = twins()
    fabric = cpu()
    model, optimizer = fabric.setup(ours, torch.optim.LBFGS(ours.parameters(), max_iter=3))
    plain = torch.optim.LBFGS(theirs.parameters(), max_iter=3)
    for x, y in loader():

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            loss = mse_loss(model(x), y)
            fabric.backward(loss)
            return loss

        def truth(x: Tensor = x, y: Tensor = y) -> Tensor:
            plain.zero_grad()
            loss = mse_loss(theirs(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        assert optimizer.step(closure) == plain.step(truth)
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("order", ["together", "one after the other"])
def test_two_models_under_one_scaler(order: str) -> None:
    """A loss over both; each steps by itself. The truth is one scaler, updated once after both steps."""
    fabric = cpu(precision="16-mixed")
    (first, second), (plain_first, plain_second) = twins(), twins()
    if order == "together":
        a, step_a = fabric.setup(first, sgd(first))
        b, step_b = fabric.setup(second, sgd(second))
    else:
        a, b = fabric.setup_module(first), fabric.setup_module(second)
        step_a, step_b = fabric.setup_optimizers(sgd(a), sgd(b))
    plain_a, plain_b = sgd(plain_first), sgd(plain_second)
    scaler = torch.amp.GradScaler("cpu")
    for index, (x, y) in enumerate(loader()):
        factor = 1e38 if index == 4 else 0.01  # too large once, for the first model only: it leaves its step out
        for one in (step_a, step_b, plain_a, plain_b):
            one.zero_grad()
        fabric.backward(mse_loss(a(x), y) * factor + mse_loss(b(x), y) * 0.01)
        step_a.step()
        step_b.step()
        with torch.autocast("cpu", torch.float16, cache_enabled=False):
            left, right = plain_first(x), plain_second(x)
        loss = mse_loss(left.float(), y) * factor + mse_loss(right.float(), y) * 0.01
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(plain_a)
        scaler.step(plain_b)
        scaler.update()
    assert scaler.get_scale() == 2.0**15
    assert differences(first, plain_first) == differences(second, plain_second) == []


def test_several_optimizers_of_one_model_step_in_turn() -> None:
    ours, theirs = twins()
    fabric = cpu()
    parts = [ours.body, ours.head]
    model, *optimizers = fabric.setup(ours, *[sgd(part) for part in parts])
    plain = [sgd(theirs.body), sgd(theirs.head)]
    for index, (x, y) in enumerate(loader()):
        fabric.backward(mse_loss(model(x), y))
        optimizers[index % 2].step()
        model.zero_grad()
        mse_loss(theirs(x), y).backward()
        plain[index % 2].step()
        theirs.zero_grad()
    assert differences(ours, theirs) == []


def test_torchs_schedulers_go_with_the_optimizer_before_and_after_set_up() -> None:
    ours, theirs = twins()
    fabric = cpu()
    own = sgd(ours)
    model, optimizer, before = fabric.setup(ours, own, scheduler=torch.optim.lr_scheduler.StepLR(own, 2, gamma=0.5))
    after = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 / (1 + step))
    plain = sgd(theirs)
    truth = [
        torch.optim.lr_scheduler.StepLR(plain, 2, gamma=0.5),
        torch.optim.lr_scheduler.LambdaLR(plain, lambda step: 1.0 / (1 + step)),
    ]
    for x, y in loader():
        fabric.backward(mse_loss(model(x), y))
        optimizer.step()
        optimizer.zero_grad()
        mse_loss(theirs(x), y).backward()
        plain.step()
        plain.zero_grad()
        for one in (before, after, *truth):
            one.step()
        assert optimizer.param_groups[0]["lr"] == plain.param_groups[0]["lr"]
    assert differences(ours, theirs) == []


def test_a_compiled_model_stays_compiled() -> None:
    ours, theirs = twins()
    calls: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        calls.append(len(inputs))
        return graph.forward

    fabric = cpu()
    model, optimizer = fabric.setup(torch.compile(ours, backend=backend), sgd(ours))
    plain = sgd(theirs)
    for x, y in loader():
        fabric.backward(mse_loss(model(x), y))
        optimizer.step()
        optimizer.zero_grad()
        mse_loss(theirs(x), y).backward()
        plain.step()
        plain.zero_grad()
    assert calls
    assert model.state_dict().keys() == theirs.state_dict().keys()
    assert differences(ours, theirs) == []


def test_modules_and_tensors_are_made_in_the_precisions_type() -> None:
    fabric = cpu(precision="bf16-true")
    with fabric.init_module():
        assert nn.Linear(2, 2).weight.dtype is torch.bfloat16
    with fabric.init_tensor():
        assert torch.zeros(2).dtype is torch.bfloat16
    with fabric.init_module(empty_init=True), nullcontext():
        module = nn.Linear(2, 2)
    assert module.weight.shape == (2, 2)
    with cpu(precision="bf16-mixed").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
