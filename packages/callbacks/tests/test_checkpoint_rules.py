"""Whatever the metrics are, the files on disk are those that the rule names, after every event and across restarts."""

from __future__ import annotations

import math
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from callback_fakes import FakeTrainer, Module
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_fit import SimulatedFit

from fulmen_callbacks import ModelCheckpoint
from fulmen_interfaces import ConfigurationError

scores = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.sampled_from([math.nan, math.inf, -math.inf])), min_size=1, max_size=12
)
modes = st.sampled_from(["min", "max"])


def ranked(values: list[float], mode: str) -> list[float]:
    worst = math.inf if mode == "min" else -math.inf
    return sorted((worst if math.isnan(value) else value for value in values), reverse=mode == "max")


def scores_on_disk(folder: Path, values: list[float]) -> list[float]:
    """The metric of the epoch in which each file was written."""
    steps = [int(torch.load(path)["global_step"]) for path in folder.glob("epoch*.ckpt")]
    return [values[step // 4 - 1] for step in steps]


def check(callback: ModelCheckpoint, folder: Path, values: list[float], keep: int) -> None:
    kept = ranked(scores_on_disk(folder, values), callback.mode)
    assert kept == ranked(values, callback.mode)[: len(values) if keep == -1 else keep]
    assert {str(path) for path in folder.glob("epoch*.ckpt")} == set(callback.best_k_models)
    if keep != 0:
        assert callback.best_model_score == kept[0]
        best = int(torch.load(callback.best_model_path)["global_step"]) // 4 - 1
        assert ranked([values[best]], callback.mode) == [kept[0]]


@settings(max_examples=150, deadline=None)
@given(scores, st.sampled_from([-1, 0, 1, 2, 3]), modes, st.sampled_from([None, True, "link"]))
def test_the_best_k_are_on_disk_after_every_epoch(values: list[float], keep: int, mode: str, save_last: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        callback = ModelCheckpoint(folder, monitor="val/loss", save_top_k=keep, mode=mode, save_last=save_last)
        trainer = FakeTrainer(callbacks=[callback])
        done = 0

        def after(hook: str) -> None:
            nonlocal done
            if hook == "epoch":
                done += 1
                check(callback, folder, values[:done], keep)

        SimulatedFit(trainer, Module(), callback, max_epochs=len(values), vals=values, after=after).run()
        assert done == len(values)
        assert (folder / "last.ckpt").exists() is bool(save_last)


@pytest.mark.filterwarnings("ignore:The checkpoint directory")
@settings(max_examples=100, deadline=None)
@given(scores, st.sampled_from([-1, 1, 2, 3]), modes, st.data())
def test_a_restart_changes_nothing(values: list[float], keep: int, mode: str, data: Any) -> None:
    stop = data.draw(st.integers(0, len(values)))
    with tempfile.TemporaryDirectory() as name:
        folder, elsewhere = Path(name) / "run", str(Path(name) / "stop.ckpt")
        first = ModelCheckpoint(folder, monitor="val/loss", save_top_k=keep, mode=mode)
        trainer = FakeTrainer(callbacks=[first])
        SimulatedFit(trainer, Module(), first, max_epochs=stop, vals=values).run()
        trainer.save_checkpoint(elsewhere)

        second = ModelCheckpoint(folder, monitor="val/loss", save_top_k=keep, mode=mode)
        trainer = FakeTrainer(callbacks=[second], ckpt_path=elsewhere)
        rest = SimulatedFit(trainer, Module(), second, max_epochs=len(values), vals=values, validations=stop)
        rest.run(torch.load(elsewhere))
        check(second, folder, values, keep)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.sampled_from([-1, 1]))
def test_steps_are_counted_across_epochs(every: int, epochs: int, accumulate: int, keep: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        callback = ModelCheckpoint(name, every_n_train_steps=every, save_top_k=keep)
        trainer = FakeTrainer(callbacks=[callback], accumulate_grad_batches=accumulate)
        SimulatedFit(trainer, Module(), callback, max_epochs=epochs).run()
        steps = epochs * math.ceil(4 / accumulate)
        due = [step for step in range(1, steps + 1) if step % every == 0]
        found = sorted(int(torch.load(path)["global_step"]) for path in Path(name).iterdir())
        assert found == (due if keep == -1 else due[-1:])


@pytest.mark.parametrize(
    ("every", "same_as"),
    [
        ("3 steps", {"every_n_train_steps": 3}),
        ("2 epochs", {"every_n_epochs": 2}),
        ("90 min", {"train_time_interval": timedelta(minutes=90)}),
    ],
)
def test_an_interval_with_a_unit_is_what_the_arguments_say(every: str, same_as: dict[str, Any]) -> None:
    assert ModelCheckpoint(every=every).state_key == ModelCheckpoint(**same_as).state_key
    assert ModelCheckpoint(every=every).schedule == ModelCheckpoint(**same_as).schedule


def test_intervals_that_are_none_or_two_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="500 steps"):
        ModelCheckpoint(every="sometimes")
    with pytest.raises(ConfigurationError, match="Only one clock"):
        ModelCheckpoint(every="3 steps", every_n_epochs=1)
