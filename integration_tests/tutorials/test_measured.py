"""torchmetrics objects logged as objects give the values that they give by themselves."""

from __future__ import annotations

import pytest
import torch

torchmetrics = pytest.importorskip("torchmetrics")


def recomputed(program, model, count: int, seed: int) -> dict[str, float]:
    x, y = program.points(count, seed).tensors
    model.eval()
    with torch.no_grad():
        logits = model(x)
    kinds = torchmetrics.classification
    macro = {
        kind.__name__: kind(3)
        for kind in (kinds.MulticlassAccuracy, kinds.MulticlassPrecision, kinds.MulticlassF1Score)
    }
    values = {name: metric(logits, y).item() for name, metric in macro.items()}
    return {**values, "acc": (logits.argmax(1) == y).double().mean().item()}


@pytest.mark.parametrize("form", ["main", "collection"])
def test_validation_and_test_values_equal_those_over_all_the_data_at_once(load, form: str) -> None:
    program = load("measured")
    ran = getattr(program, form)()
    wanted = recomputed(program, ran.model, 30, 3)
    del wanted["acc"]
    assert ran.tested == [pytest.approx({f"test_{name}": value for name, value in wanted.items()})]
    wanted = recomputed(program, ran.model, 30, 2)
    if form == "collection":  # objects reduce over the epoch as they do by themselves
        del wanted["acc"]
        for name, value in wanted.items():
            assert ran.metrics[f"val_{name}"].item() == pytest.approx(value)
    else:
        assert ran.metrics["valid_acc"].item() == pytest.approx(wanted["acc"])


def test_step_and_epoch_values_of_an_object_are_in_the_file(load, rows) -> None:
    program = load("measured")
    program.main()
    table = rows("logs/measured/version_0")
    steps = [row["train_acc_step"] for row in table if "train_acc_step" in row]
    epochs = [row["train_acc_epoch"] for row in table if "train_acc_epoch" in row]
    assert len(steps) == 3 * 7
    assert len(epochs) == 3
    weights = torch.tensor([8.0] * 6 + [2.0])
    for epoch, value in enumerate(epochs):
        ours = torch.tensor(steps[7 * epoch : 7 * epoch + 7])
        assert value == pytest.approx(((ours * weights).sum() / 50).item())
    means = [row["train_mean_loss"] for row in table if "train_mean_loss" in row]
    assert len(means) == 3
    assert means[-1] < means[0]


def test_the_objects_do_not_hide_in_the_weights(load) -> None:
    ran = load("measured").main()
    assert set(ran.weights) == {"layer.weight", "layer.bias"}
