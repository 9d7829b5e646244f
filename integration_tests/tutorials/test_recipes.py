"""Recipes from longer tutorials."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture
def program(load):
    return load("recipes")


def test_a_warm_up_in_optimizer_step_and_a_test_without_arguments(program, rows) -> None:
    ran = program.warm_up()
    assert ran.rates == [pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 24 / 24)))]
    logged = [row["lr-SGD"] for row in rows("logs/recipe/version_0") if "lr-SGD" in row]
    expected = [0.5 * (1 + math.cos(math.pi * at / 24)) * 0.1 * (at / 5 if at <= 5 else 1) for at in (0, 8, 16)]
    assert logged == pytest.approx(expected, abs=1e-9)

    model = program.WarmedUp(**ran.hparams)
    model.load_state_dict(ran.best)
    x, y = program.blobs(32, 3).tensors
    with torch.no_grad():
        logits = model(x)
    accuracy = (logits.argmax(1) == y).double().mean().item()
    assert ran.tested == [{"test_loss": pytest.approx(F.cross_entropy(logits, y).item()), "test_acc": accuracy}]
    (file,) = Path("logs/recipe/version_0/checkpoints").iterdir()
    assert "optimizer_states" not in torch.load(file, weights_only=True)  # save_weights_only


def test_numbers_of_numpy_in_a_schedule_do_not_lock_the_checkpoint(program) -> None:
    first = program.trainer(max_epochs=2)
    first.fit(program.WarmedUp(optimizer_hparams={"lr": 0.05}))
    assert "numpy" in type(first.optimizers[0].param_groups[0]["lr"]).__module__
    path = first.checkpoint_callback.best_model_path
    content = torch.load(path, weights_only=True)
    assert type(content["optimizer_states"][0]["param_groups"][0]["lr"]) is float
    second = program.trainer(max_epochs=3)
    second.fit(program.WarmedUp(optimizer_hparams={"lr": 0.05}), ckpt_path=path)
    assert second.global_step == 24


def test_a_callback_makes_and_trains_a_classifier_of_its_own(program, rows) -> None:
    ran = program.online_classifier()
    assert "online_finetuner.weight" in ran.weights
    table = rows("logs/recipe/version_0")
    losses = [row["online_train_loss"] for row in table if "online_train_loss" in row]
    assert len(losses) == 24
    assert losses[-1] < losses[0]
    x, y = program.blobs(32, 2).tensors
    with torch.no_grad():
        logits = ran.model.online_finetuner(ran.model.net[:2](x))
    assert ran.metrics["online_val_acc"].item() == pytest.approx((logits.argmax(1) == y).double().mean().item())
    steps = {row["step"]: row for row in table if "mirror_step" in row}
    assert all(row["mirror_step"] == pytest.approx(row["train_loss"], rel=1e-6) for row in steps.values())


def test_steps_made_by_hand_under_automatic_optimisation_are_the_only_ones(program) -> None:
    ran = program.meta_learning()

    torch.manual_seed(3)
    layer = torch.nn.Linear(6, 3)
    parameters = list(layer.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.2)
    for _ in range(2):
        for batch in torch.utils.data.DataLoader(program.blobs(), batch_size=16):
            optimizer.zero_grad()
            total = 0.0
            for x, y in zip(*(part.chunk(2) for part in batch), strict=True):
                gradients = torch.autograd.grad(F.cross_entropy(layer(x), y), parameters)
                fast = [parameter - 0.1 * gradient for parameter, gradient in zip(parameters, gradients, strict=True)]
                loss = F.cross_entropy(F.linear(x, *fast), y)
                total = total + loss
            total.backward()
            # the tutorial leaves out second derivatives of the inner step only in `inner_gradients`, as here
            optimizer.step()
    torch.testing.assert_close(ran.model.layer.weight, layer.weight)
    torch.testing.assert_close(ran.model.layer.bias, layer.bias)


def test_an_agent_learns_from_a_buffer_that_grows_while_it_is_read(program, rows) -> None:
    ran = program.reinforcement()
    assert ran.calls[:4] == [1, 1, 1, 1]  # walk to the right, wherever you are
    assert ran.steps == 30 * 5
    table = rows("logs/dqn/version_0")
    assert [row["epsilon"] for row in table][:3] == pytest.approx([1.0, 1 - 1 / 60, 1 - 2 / 60])
    assert "steps" not in set().union(*table)
    assert ran.bar == ["steps", "total_reward"]


def test_outputs_kept_by_loader_are_evaluated_together(program) -> None:
    ran = program.two_splits()
    for split, count, seed in (("matched", 24, 2), ("mismatched", 16, 3)):
        x, y = program.blobs(count, seed).tensors
        with torch.no_grad():
            logits = ran.model.layer(x)
        accuracy = (logits.argmax(1) == y).double().mean().item()
        assert ran.metrics[f"acc_{split}"].item() == pytest.approx(accuracy)
        assert ran.metrics[f"val_loss_{split}"].item() == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert ran.rates == [pytest.approx(0.0)]
