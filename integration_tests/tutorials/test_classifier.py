"""A data module, schedulers, early stopping, checkpoints and learning rates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def test_metrics_in_memory_in_the_file_and_recomputed_are_the_same(load, rows) -> None:
    ran = load("classifier").main()
    table = rows("logs/fulmen_logs/version_0")
    losses = [row["train_loss_epoch"] for row in table if "train_loss_epoch" in row]
    assert losses[-1] < losses[0] / 2
    assert [row["val_acc"] for row in table if "val_acc" in row][-2] == pytest.approx(ran.metrics["val_acc"].item())

    ran.model.load_state_dict(ran.weights)
    ran.model.eval()
    x, y = (torch.stack(column) for column in zip(*ran.data.held_out, strict=True))
    with torch.no_grad():
        logits = ran.model(x)
    assert ran.tested[0]["test_acc"] == pytest.approx((logits.argmax(1) == y).double().mean().item())
    assert ran.tested[0]["test_loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, y).item())
    assert ran.validated[0] == pytest.approx({name: ran.metrics[name].item() for name in ("val_acc", "val_loss")})


def test_the_data_module_is_prepared_and_set_up_once_per_call(load) -> None:
    data = load("classifier").main(max_epochs=1).data
    assert data.stages == ["fit", "test", "validate", "predict"]
    assert data.prepared == 4
    assert Path("data/shapes.pt").is_file()


def test_the_best_three_checkpoints_are_kept_under_their_names(load, rows) -> None:
    ran = load("classifier").main()
    by_epoch = {row["epoch"]: row["val_acc"] for row in rows("logs/fulmen_logs/version_0") if "val_acc" in row}
    saved = {name: torch.load(f"checkpoints/{name}", weights_only=True)["epoch"] for name in ran.names}
    assert len(saved) == 3
    assert all(name == f"shapes-epoch={epoch:02d}-val_acc={by_epoch[epoch]:.2f}.ckpt" for name, epoch in saved.items())
    kept = min(by_epoch[epoch] for epoch in saved.values())
    assert all(value <= kept for epoch, value in by_epoch.items() if epoch not in saved.values() and epoch < 6)


def test_predictions_come_from_the_best_checkpoint(load) -> None:
    program = load("classifier")
    ran = program.main()
    best = program.LitClassifier.load_from_checkpoint(ran.checkpoint.best_model_path).eval()
    assert best.hparams.hidden_dim == 24
    x = torch.stack([x for x, _ in ran.data.held_out])
    with torch.no_grad():
        assert torch.equal(torch.cat(ran.predicted), best(x).argmax(1))


def test_training_ends_early_when_validation_no_longer_improves(load, rows) -> None:
    ran = load("classifier").main("plateau", max_epochs=50)
    table = rows("logs/fulmen_logs/version_0")
    losses = [
        row["val_loss"] for row in table if "val_loss" in row and row["epoch"] <= ran.early_stopping.stopped_epoch
    ]
    assert 2 < len(losses) < 50
    assert min(losses[-2:]) > min(losses[:-2]) - 0.01  # two checks without improvement
    assert ran.early_stopping.wait_count == 2


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("step", lambda step: 0.1 * 0.5 ** (step // 8 // 2)),
        ("warmup", lambda step: 0.1 * min(1.0, (step + 1) / 10)),
    ],
)
def test_learning_rates_follow_their_closed_form(load, schedule: str, expected) -> None:
    ran = load("classifier").main(schedule, max_epochs=4)
    assert ran.rates == [pytest.approx([expected(step) for step in range(3, 32, 4)])]


def test_one_cycle_is_as_long_as_the_fit(load) -> None:
    ran = load("classifier").main("one_cycle", max_epochs=3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=3 * 8)
    rates = []
    for _ in range(23):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert ran.rates == [pytest.approx([*rates, scheduler.get_last_lr()[0]][3::4])]


def test_a_plateau_lowers_the_rate(load, rows) -> None:
    ran = load("classifier").main("plateau")
    rates = ran.rates[0]
    assert rates[0] == 0.1
    assert rates[-1] < 0.1
    logged = [row for row in rows("logs/fulmen_logs/version_0") if "lr-SGD" in row]
    assert [row["lr-SGD"] for row in logged] == pytest.approx(rates)
    assert [row["step"] for row in logged] == list(range(3, 4 * len(rates), 4))


def test_a_sanity_check_takes_no_random_numbers_from_training(load) -> None:
    program = load("classifier")

    def train(steps: int):
        program.L.seed_everything(1)
        model = program.LitClassifier()
        program.L.Trainer(
            max_epochs=1,
            num_sanity_val_steps=steps,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        ).fit(model, datamodule=program.ShapesDataModule())
        return model.state_dict()

    without, checked = train(0), train(2)
    assert all(torch.equal(value, checked[name]) for name, value in without.items())
