"""One's own callbacks, loggers and progress bars take part as they are written."""

from __future__ import annotations

import re
import sys

import pytest
import torch


@pytest.fixture
def program(load):
    return load("extensions")


def test_a_logger_of_one_s_own_receives_every_value(program) -> None:
    ran = program.main()
    logger = ran.logger
    assert logger.hparams == {"lr": 0.1}
    assert [(step, sorted(values)) for step, values in logger.history] == [
        (1, ["epoch", "train_loss"]),
        (3, ["epoch", "train_loss"]),
        (3, ["epoch", "lowest", "val_loss"]),
        (5, ["epoch", "train_loss"]),
        (7, ["epoch", "train_loss"]),
        (7, ["epoch", "lowest", "val_loss"]),
    ]
    assert all(type(value) in (int, float) for _, values in logger.history for value in values.values())
    assert logger.history[-1][1]["val_loss"] == pytest.approx(ran.metrics["val_loss"].item())
    assert logger.ended == "success"
    assert logger.saves >= 2


def test_a_failing_run_is_finalised_as_failed(program) -> None:
    class Failing(program.LitModel):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("no step")

    logger = program.HistoryLogger()
    with pytest.raises(RuntimeError, match="no step"):
        program.L.Trainer(max_epochs=1, logger=logger, enable_progress_bar=False).fit(Failing(), program.loader())
    assert logger.ended == "failed"


def test_callbacks_see_the_run(program) -> None:
    ran = program.main()
    assert ran.printed == ["Training is starting", "Training is ending"]
    assert ran.seen == ["setup fit", "epoch 0", "epoch 1"]
    assert len(ran.tracked) == 1
    assert ran.tracked[0] == pytest.approx([values["val_loss"] for _, values in ran.history if "val_loss" in values])


def test_states_of_several_callbacks_of_one_class_are_kept_apart(program) -> None:
    first = program.main(max_epochs=2)
    assert (first.epochs, first.batches) == ({"epochs": 2, "batches": 0}, {"epochs": 0, "batches": 8})
    content = torch.load(first.path, weights_only=True)
    assert content["callbacks"]["Counter[what=batches]"] == {"epochs": 0, "batches": 8}
    assert content["tracked"] == first.tracked[0]
    resumed = program.main(max_epochs=3, ckpt_path=first.path)
    assert (resumed.epochs, resumed.batches) == ({"epochs": 3, "batches": 0}, {"epochs": 0, "batches": 12})


def test_a_bar_of_one_s_own_knows_totals_and_metrics(program) -> None:
    ran = program.with_lines()
    assert [line.partition(" %")[0] for line in ran.lines] == ["25", "50", "75", "100"] * 2
    assert ran.lines[-1] == "100 % ['train_loss', 'v_num', 'val_loss']"
    assert ran.trainer.progress_bar_callback is ran.bar
    assert ran.bar.enabled


def test_a_changed_tqdm_bar_shows_what_it_was_told(program, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = program.with_tqdm()
    assert ran.shown == ["lr", "train_loss", "val_loss"]
    shown = capsys.readouterr().out
    assert " pieces/s" in shown
    assert re.search(r"Epoch 1/1: 100%.* 4/4 .*lr: 0\.1", shown)
