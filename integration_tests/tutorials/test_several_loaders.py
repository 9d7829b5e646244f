"""Several loaders for validation, test, prediction and training."""

from __future__ import annotations

import pytest
import torch

NEAR, FAR = (torch.arange(0, 6) / 100).unsqueeze(1), (torch.arange(50, 54) / 100).unsqueeze(1)


def line_losses(weights) -> list[float]:
    line = torch.nn.Linear(1, 1)
    line.load_state_dict({"weight": weights["line.weight"], "bias": weights["line.bias"]})
    with torch.no_grad():
        return [((line(x) - 2 * x) ** 2).mean().item() for x in (NEAR, FAR)]


def test_each_validation_loader_has_its_own_results(load) -> None:
    ran = load("several_loaders").evaluation()
    near, far = map(pytest.approx, line_losses(ran.weights))
    assert ran.validated == [
        {"val_loss/dataloader_idx_0": near, "near_loss": near, "both_epoch/dataloader_idx_0": near, "checks": 1.0},
        {"val_loss/dataloader_idx_1": far, "far_loss": far, "both_epoch/dataloader_idx_1": far, "checks": 1.0},
    ]
    assert ran.tested == [{"test_loss/dataloader_idx_0": near}, {"test_loss/dataloader_idx_1": far}]
    assert ran.metrics["val_loss/dataloader_idx_1"].item() == far
    assert ran.metrics["both/dataloader_idx_0"].item() == near


def test_a_suffixed_name_can_be_watched(load, rows) -> None:
    ran = load("several_loaders").evaluation()
    values = [row["val_loss/dataloader_idx_1"] for row in rows("logs/several/version_0") if "checks" in row][:2]
    assert ran.score == pytest.approx(min(values))


def test_step_values_of_each_loader_are_numbered_from_zero(load, rows) -> None:
    load("several_loaders").evaluation()
    table = rows("logs/several/version_0")
    steps = {at: [row["step"] for row in table if f"both_step/dataloader_idx_{at}" in row] for at in (0, 1)}
    assert steps == {0: [0, 1, 2, 3, 0, 1], 1: [0, 1, 0]}  # two validations of the fit, then one on its own


def test_predictions_are_listed_by_loader(load) -> None:
    ran = load("several_loaders").evaluation()
    assert ran.calls == [(0, 0), (1, 0), (0, 1)]
    with torch.no_grad():
        for predicted, x in zip(ran.predicted, (NEAR, FAR), strict=True):
            torch.testing.assert_close(predicted, ran.model.line(x))


A, B = [[0, 1], [2, 3], [4, 5]], [[50, 51], [52, 53]]


@pytest.mark.parametrize(
    ("form", "epoch"),
    [
        ("by_name", [{"a": A[0], "b": B[0]}, {"a": A[1], "b": B[1]}, {"a": A[2], "b": B[0]}]),
        ("as_list", [{"0": A[0], "1": B[0]}, {"0": A[1], "1": B[1]}, {"0": A[2], "1": B[0]}]),
        ("min_size", [{"a": A[0], "b": B[0]}, {"a": A[1], "b": B[1]}]),
        ("max_size", [{"a": A[0], "b": B[0]}, {"a": A[1], "b": B[1]}, {"a": A[2]}]),
        ("max_size_cycle", [{"0": A[0], "1": B[0]}, {"0": A[1], "1": B[1]}, {"0": A[2], "1": B[0]}]),
        ("sequential", [{"only": part} for part in [*A, *B]]),
    ],
)
def test_training_loaders_are_read_together_as_their_mode_says(load, form: str, epoch) -> None:
    ran = getattr(load("several_loaders"), form)()
    assert ran.seen == epoch * 2
    assert ran.batches == len(epoch)
    assert ran.trainer.global_step == 2 * len(epoch)
