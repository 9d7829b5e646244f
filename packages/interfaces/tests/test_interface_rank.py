from __future__ import annotations

import logging
import warnings

import pytest

from fulmen_interfaces import get_rank, rank_zero_experiment, rank_zero_info, rank_zero_only, rank_zero_warn

VARIABLES = ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "LOCAL_RANK"]


@pytest.fixture(autouse=True)
def _nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_rank_is_zero_where_nobody_says() -> None:
    assert get_rank() == 0


@pytest.mark.parametrize("variable", VARIABLES)
def test_rank_is_what_launchers_and_schedulers_say(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "3")
    assert get_rank() == 3


def test_rank_in_the_whole_run_counts_more_than_that_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("RANK", "8")
    assert get_rank() == 8


def test_functions_run_on_rank_zero_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(end: str, *, upper: bool = False) -> str:
        return f"rank{end}".upper() if upper else f"rank{end}"

    once, otherwise = rank_zero_only(name), rank_zero_only(name, "nothing")
    assert once("0", upper=True) == "RANK0"
    assert otherwise("0") == "rank0"
    assert once.__name__ == "name"
    monkeypatch.setenv("RANK", "1")
    assert once("1") is None
    assert otherwise("1") == "nothing"


def test_a_logger_s_experiment_is_silent_on_other_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tracking:
        opened = 0

        @property
        @rank_zero_experiment
        def experiment(self) -> list[int]:
            """What is written to."""
            self.opened += 1
            return [7]

    tracking = Tracking()
    assert tracking.experiment.count(7) == 1
    assert type(tracking).experiment.__doc__ == "What is written to."
    monkeypatch.setenv("RANK", "1")
    tracking.experiment.append(8)
    assert tracking.opened == 1


def test_rank_is_asked_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    once = rank_zero_only(lambda: "ran")
    monkeypatch.setenv("RANK", "1")
    assert once() is None
    monkeypatch.setenv("RANK", "0")
    assert once() == "ran"


def test_warnings_point_at_the_caller_of_the_caller() -> None:
    def library() -> None:
        rank_zero_warn("look here", FutureWarning)

    with pytest.warns(FutureWarning, match="look here") as caught:
        library()
    assert caught[0].filename == __file__


def test_other_ranks_are_silent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fulmen"):
        rank_zero_info("from zero")
        monkeypatch.setenv("RANK", "2")
        rank_zero_info("from two")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rank_zero_warn("from two")
    assert [record.message for record in caplog.records] == ["from zero"]
