"""Going on from checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def same(one, other) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_more_epochs_from_the_last_checkpoint_equal_one_long_fit(load) -> None:
    program = load("resume")
    whole = program.run(4, "whole")
    program.run(2, "first")
    ran = program.run(4, "first", ckpt_path="first/best/last.ckpt", seed=99)
    assert {epoch for epoch, _, _ in ran.history} == {2, 3}
    assert ran.model.loaded_after == 10
    assert (ran.steps, ran.epoch) == (20, 4)
    assert same(ran.weights, whole.weights)
    assert ran.metrics == whole.metrics


@pytest.mark.parametrize("step", [3, 6, 9])
def test_a_checkpoint_in_the_middle_of_an_epoch_goes_on_behind_its_batch(load, step: int) -> None:
    program = load("resume")
    whole = program.run(3, "whole")
    ran = program.run(3, "other", ckpt_path=f"whole/steps/step={step}.ckpt", seed=99)
    assert ran.history == whole.history[step:]  # the shuffled data goes on, too
    assert same(ran.weights, whole.weights)
    assert ran.metrics == whole.metrics


def test_the_word_last_finds_what_an_earlier_trainer_left(load) -> None:
    program = load("resume")
    first = program.run(2, "first")
    ran = program.run(3, "first", ckpt_path="last")
    assert {epoch for epoch, _, _ in ran.history} == {2}
    assert ran.steps == first.steps + 5


def test_a_checkpoint_of_the_end_trains_no_more_unless_epochs_are_added(load) -> None:
    program = load("resume")
    first = program.run(2, "first")
    ran = program.run(2, "again", ckpt_path="first/best/last.ckpt", seed=99)
    assert ran.history == []
    assert same(ran.weights, first.weights)


def test_max_steps_counts_the_steps_before(load) -> None:
    program = load("resume")
    program.run(1, "first")
    ran = program.run(-1, "more", ckpt_path="first/best/last.ckpt", max_steps=8)
    assert (ran.steps, len(ran.history)) == (8, 3)


def test_the_best_score_is_remembered(load) -> None:
    program = load("resume")
    first = program.run(3, "first")
    ran = program.run(4, "first", ckpt_path="first/best/last.ckpt")
    assert ran.best.best_model_score <= first.best.best_model_score
    assert Path(ran.best.best_model_path).is_file()


def test_saving_by_hand_and_going_on_from_it(load) -> None:
    program = load("resume")
    whole = program.run(3, "whole")
    first = program.run(2, "first")
    first.trainer.save_checkpoint("example.ckpt")
    ran = program.run(3, "other", ckpt_path="example.ckpt", seed=99)
    assert same(ran.weights, whole.weights)
    new = program.LitNet.load_from_checkpoint(checkpoint_path="example.ckpt")
    assert same(new.state_dict(), first.weights)
    assert torch.load("example.ckpt", weights_only=True)["batches_seen"] == 10


def test_the_word_last_means_the_newest_of_all_files(load) -> None:
    program = load("resume")
    program.run(1, "first")
    program.run(2, "first", seed=7)  # begins anew beside the older file
    names = sorted(file.name for file in Path("first/best").glob("last*"))
    ran = program.run(3, "first", ckpt_path="last")
    assert names == ["last-v1.ckpt", "last.ckpt"]
    assert ran.trainer.ckpt_path.endswith("last-v1.ckpt")
    assert {epoch for epoch, _, _ in ran.history} == {2}


def test_without_a_last_checkpoint_fit_begins_anew_and_says_so(load) -> None:
    program = load("resume")
    with pytest.warns(UserWarning, match="Training begins anew"):
        ran = program.run(1, "nothing", ckpt_path="last")
    assert len(ran.history) == 5
    with pytest.raises(program.L.FulmenError, match="ckpt_path"):
        program.L.Trainer(logger=False).validate(ran.model, program.loaders()[1], ckpt_path="last")
