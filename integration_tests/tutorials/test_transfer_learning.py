"""Frozen backbones, accumulation, clipping and trial runs do what plain loops do."""

from __future__ import annotations

import pytest
import torch


def of_backbone(weights):
    return {name: value for name, value in weights.items() if name.startswith("feature_extractor")}


def test_a_frozen_backbone_stays_bit_for_bit_as_it_was(load) -> None:
    ran = load("transfer_learning").main()
    for name, value in of_backbone(ran.weights).items():
        assert torch.equal(value, ran.before[name]), name
    assert not torch.equal(ran.weights["classifier.weight"], ran.before["classifier.weight"])
    assert ran.metrics["val_loss"] < 0.5
    assert not any(ran.model.modes[1:])  # validation does not wake it up


def test_fine_tuning_begins_at_its_epoch_with_its_own_rate(load) -> None:
    ran = load("transfer_learning").fine_tuning()
    groups = ran.trainer.optimizers[0].param_groups
    assert [group["lr"] for group in groups] == [0.05, 0.005]
    changed = [name for name, value in of_backbone(ran.weights).items() if not torch.equal(value, ran.before[name])]
    assert "feature_extractor.0.weight" in changed
    assert (
        ran.weights["feature_extractor.1.num_batches_tracked"]
        == ran.before["feature_extractor.1.num_batches_tracked"] + 2 * 8
    )  # only in the two epochs in which it learnt
    assert ran.model.modes == [False] * 16 + [True] * 16


@pytest.mark.parametrize(("form", "size", "count"), [("accumulated", 4, 64), ("accumulated_with_a_rest", 3, 60)])
def test_accumulation_equals_larger_batches_by_hand(load, form: str, size: int, count: int) -> None:
    program = load("transfer_learning")
    ran = getattr(program, form)()
    program.L.seed_everything(21)
    model = program.TransferLearning()
    optimizer = model.configure_optimizers()
    loader, _ = program.loaders(count)
    for _ in range(4):
        batches = list(loader)
        for start in range(0, len(batches), size):
            window = batches[start : start + size]
            optimizer.zero_grad()
            for x, y in window:
                (torch.nn.functional.cross_entropy(model(x), y) / len(window)).backward()
            optimizer.step()
    assert ran.steps == 4 * -(-len(batches) // size)
    assert torch.equal(ran.model.classifier.weight, model.classifier.weight)


def test_gradients_are_clipped_by_norm(load) -> None:
    watch = load("transfer_learning").clipped_by_norm().watch
    assert max(watch.before) > 0.2
    assert all(
        value == pytest.approx(min(0.1, norm), rel=1e-3) for norm, value in zip(watch.before, watch.after, strict=True)
    )


def test_gradients_are_clipped_by_value(load) -> None:
    ran = load("transfer_learning").clipped_by_value()
    gradients = torch.cat([p.grad.flatten() for p in ran.model.parameters() if p.grad is not None])
    assert gradients.abs().max() == pytest.approx(0.01)


def test_norms_of_gradients_are_logged(load) -> None:
    ran = load("transfer_learning").with_norms()
    names = {"grad_2.0_norm/weight", "grad_2.0_norm/bias", "grad_2.0_norm_total"}
    assert names <= set(ran.metrics)
    assert ran.metrics["grad_2.0_norm_total"].item() == pytest.approx(ran.watch.before[-1], rel=1e-6)


def test_overfitting_sees_the_same_two_batches(load) -> None:
    program = load("transfer_learning")
    ran = program.overfitted()
    assert ran.steps == 40
    _, ordered = program.loaders()
    x, y = (torch.cat(parts) for parts in zip(*list(ordered)[:2], strict=True))
    ran.model.eval()
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(ran.model(x), y)
    assert ran.metrics["val_loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert loss < 0.3


def test_limits_leave_shares_and_numbers_of_batches(load) -> None:
    ran = load("transfer_learning").limited()
    assert ran.steps == 2 * 4
    assert (ran.trainer.num_training_batches, ran.trainer.num_val_batches) == (4, [1])


def test_a_trial_run_leaves_no_file(load, tmp_path) -> None:
    program = load("transfer_learning")
    ran = program.train(fast_dev_run=3, max_epochs=100, logger=True, enable_checkpointing=None)
    assert (ran.steps, ran.trainer.current_epoch) == (3, 1)
    assert list(tmp_path.iterdir()) == []
    once = program.train(fast_dev_run=True)
    assert once.steps == 1
