"""The verification that users run on their own modules: it says yes to what is exact, and names what is not."""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest
import torch
from resume_cases import Case, Net

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint
from fulmen_core.verification import ResumeReport, verify_resume
from fulmen_interfaces import Callback, ConfigurationError

CASE = Case(optimizer="momentum", log_every_n_steps=1)


def verified(make_module: Any, make_data: Any = CASE.make_data, **options: Any) -> ResumeReport:
    return verify_resume(
        make_module, make_data, **{"trainer_arguments": CASE.trainer_arguments(), "cuts": [3], **options}
    )


def test_a_module_that_keeps_all_in_its_state_is_exact() -> None:
    report = verified(CASE.make_module, cuts=[3, 6])
    assert report.exact
    assert [(cut.batch, cut.place) for cut in report.cuts] == [
        (3, "at its end"),
        (6, "at its end"),
        (6, "after its validation"),
        (6, "at the end of its epoch"),
    ]
    assert "Resuming is exact." in str(report)


class CountsInAnAttribute(Net):
    """Trains with a number that no checkpoint holds."""

    count = 0

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> Any:
        self.count += 1
        loss = super().training_step(batch, batch_idx)
        return None if loss is None else loss * (1 + self.count / 10)


class KeepsTheCount(CountsInAnAttribute):
    """The same, as it should be."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["count"] = self.count

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.count = checkpoint["count"]


def test_an_attribute_that_decides_training_is_found() -> None:
    report = verified(lambda: CountsInAnAttribute(CASE))
    assert not report.exact
    (cut,) = report.cuts
    assert cut.difference is not None
    assert cut.difference.name == "weights body.0.weight"
    assert re.search(r"cut after batch 3, at its end: weights body\.0\.weight: \d+ of 24 values differ", str(report))
    assert "on_save_checkpoint" in str(report)


def test_the_remedy_of_the_report_works() -> None:
    assert verified(lambda: KeepsTheCount(CASE)).exact


def test_a_callback_that_forgets_is_found_in_what_loggers_receive() -> None:
    class LogsACount(Callback):
        count = 0

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            self.count += 1
            pl_module.log("count", float(self.count))

    arguments = {**CASE.trainer_arguments(), "callbacks": [LogsACount()]}
    report = verified(CASE.make_module, trainer_arguments=arguments)
    assert report.repeated is None  # callbacks are copied for every run
    (cut,) = report.cuts
    assert cut.difference is not None
    assert cut.difference.name == "what was sent to loggers[1] metrics count"  # [0] belongs to the batch before


def test_data_with_a_source_of_its_own_is_found_before_anything_is_cut() -> None:
    own = random.SystemRandom()

    class Rough(Net):
        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> Any:
            return super().training_step([batch[0] + own.random(), batch[1]], batch_idx)

    report = verified(lambda: Rough(CASE))
    assert not report.exact
    assert report.repeated is not None
    assert not report.cuts
    assert "Nothing was cut" in str(report)


def test_an_error_of_a_resumed_run_is_reported() -> None:
    class Fragile(Net):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            raise KeyError("count")

    report = verified(lambda: Fragile(CASE))
    assert not report.exact
    assert report.cuts[0].failure == "KeyError: 'count'"


def test_an_error_of_the_first_run_is_raised() -> None:
    class Broken(Net):
        def training_step(self, *args: Any) -> Any:
            raise ArithmeticError("it never worked")

    with pytest.raises(ArithmeticError, match="never worked"):
        verified(lambda: Broken(CASE))


def test_cuts_that_the_run_does_not_reach_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="12 training batches"):
        verified(CASE.make_module, cuts=[3, 13])


def test_as_many_random_cuts_as_wanted_the_same_for_the_same_seed() -> None:
    first, again, other = (verified(CASE.make_module, cuts=2, seed=seed) for seed in (1, 1, 4))
    batches = [[cut.batch for cut in report.cuts] for report in (first, again, other)]
    assert batches[0] == batches[1] != batches[2]
    assert len(set(batches[0])) == 2


@pytest.mark.filterwarnings("ignore:.*there is no validation data")
def test_data_modules_modules_with_data_and_single_loaders_are_taken() -> None:
    class Data(L.LightningDataModule):
        def train_dataloader(self) -> Any:
            return CASE.make_data()[0]

    class WithData(Net):
        def train_dataloader(self) -> Any:
            return CASE.make_data()[0]

    assert verified(CASE.make_module, Data).exact
    assert verified(CASE.make_module, lambda: CASE.make_data()[0]).exact
    assert verify_resume(lambda: WithData(CASE), trainer_arguments=CASE.trainer_arguments(), cuts=[5]).exact


def test_arguments_may_be_made_for_every_run(tmp_path: Any) -> None:
    made: list[ModelCheckpoint] = []

    def arguments() -> dict[str, Any]:
        made.append(ModelCheckpoint(dirpath=tmp_path / str(len(made)), every_n_train_steps=1, save_top_k=-1))
        return {**CASE.trainer_arguments(), "enable_checkpointing": True, "callbacks": [made[-1]]}

    with pytest.warns(UserWarning, match="Checkpoints go to"):  # each run has a folder of its own
        assert verified(CASE.make_module, trainer_arguments=arguments).exact
    assert len(made) == 3


def test_the_directory_keeps_the_files_where_one_is_given(tmp_path: Any) -> None:
    verified(CASE.make_module, directory=tmp_path)
    assert sorted(file.name for file in (tmp_path / "saving").glob("*.ckpt")) == ["0.ckpt", "final.ckpt"]


def test_random_generators_and_environment_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_GLOBAL_SEED", "77")
    torch.manual_seed(5)
    random.seed(6)
    before = torch.get_rng_state(), random.getstate()
    verified(CASE.make_module)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert os.environ["FULMEN_GLOBAL_SEED"] == "77"
