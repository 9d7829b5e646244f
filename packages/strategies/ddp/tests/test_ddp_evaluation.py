"""Evaluation over several processes gives what one process gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fulmen_testing import run_program

PROGRAM = Path(__file__).parent / "evaluation_program.py"
SIZES = [str(size) for size in range(1, 18)]


def outcome(folder: Path, processes: int) -> list[dict[str, Any]]:
    return run_program(PROGRAM, folder, processes, ranks=processes).ranks


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process found."""
    return outcome(tmp_path_factory.mktemp("alone"), 1)[0]


@pytest.mark.parametrize("processes", [2, 3])
def test_results_metrics_and_order_of_predictions_are_those_of_one_process(
    processes: int, alone: dict[str, Any], tmp_path: Path
) -> None:
    for rank in outcome(tmp_path, processes):
        for size in SIZES:
            assert rank["by_size"][size]["predicted"] == alone["by_size"][size]["predicted"], size
            assert rank["by_size"][size]["results"] == pytest.approx(alone["by_size"][size]["results"]), size
        for found, wanted in zip(rank["two_loaders"], alone["two_loaders"], strict=True):
            assert found == pytest.approx(wanted)


def test_one_process_gives_what_can_be_computed_by_hand(alone: dict[str, Any]) -> None:
    values = [float(index * index % 11) + index / 7 for index in range(17)]
    found = alone["by_size"]["17"]["results"]
    mean = sum(values) / 17
    assert [found["mean"], found["average"]] == pytest.approx([mean] * 2)
    assert found["sum"] == pytest.approx(sum(values))
    assert found["spread"] == pytest.approx((sum((value - mean) ** 2 for value in values) / 17) ** 0.5)
    predicted = [value for batch in alone["by_size"]["17"]["predicted"] for value in batch["values"]]
    assert predicted == pytest.approx(values)
