"""Golden cases are read in their order, and broken files of them are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fulmen_testing import GoldenCase, golden_cases, training_cases

CASE = {"name": "one", "given": {"x": 1}, "expected": {"y": 2}}


def write(folder: Path, *cases: object) -> Path:
    path = folder / "cases.json"
    path.write_text(json.dumps({"cases": cases}))
    return path


def test_cases_are_read_in_their_order(tmp_path: Path) -> None:
    cases = golden_cases(str(write(tmp_path, CASE, {**CASE, "name": "two"})))
    assert [str(case) for case in cases] == ["one", "two"]
    assert cases[0].given == {"x": 1}
    assert cases[0].expected == {"y": 2}


def test_file_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cases\.json .* there is no case"):
        golden_cases(write(tmp_path))


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the names one are used twice"):
        golden_cases(write(tmp_path, CASE, CASE))


def test_incomplete_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the case 'one' has given, name\. A case has exactly expected, given, name"):
        golden_cases(write(tmp_path, {"name": "one", "given": {}}))


@pytest.mark.parametrize("case", training_cases(), ids=str)
def test_golden_training_can_be_worked_out_without_torch(case: GoldenCase) -> None:
    given = case.given
    weight = velocity = gradient = 0.0
    losses, weights, norms = [], [], []
    for number, (x, y) in enumerate(given["batches"], 1):
        losses.append((weight * x - y) ** 2)
        gradient += 2 * x * (weight * x - y) / given["accumulate"]
        if number % given["accumulate"]:
            continue
        if given["clip"]:
            algorithm, limit = given["clip"]
            norms += [abs(gradient)] if algorithm == "norm" else []
            gradient = max(-limit, min(limit, gradient))
        velocity = given["momentum"] * velocity + gradient
        weight -= given["lr"] * velocity
        gradient = 0.0
        weights.append(weight)
    assert {"losses": losses, "weights": weights, "norms": norms} == case.expected
