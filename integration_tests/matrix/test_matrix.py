"""Every combination of what is installed: trained beside a plain loop where it is valid, refused for the right reasons
where it is not.

`nox -s "matrix(backend='cpu')"` runs the whole of it for one family of devices, and writes docs/matrix.md. On each
change a part is run that has each strategy and each precision in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from matrix_cells import Cell, accelerators, cells, groups, precisions, representatives, strategy_spec, valid
from matrix_expected import expected
from matrix_model import MISTAKES, Loop, deviation, tolerance
from matrix_probes import probe
from matrix_run import Outcome, run
from matrix_table import write

from fulmen_core.resolver import RunPlan
from fulmen_interfaces import PrecisionSpec

BACKEND = os.environ.get("FULMEN_MATRIX", "cpu")
TRUTH = Loop().weights()


def trained(chosen: Sequence[Cell], folder: Path, *, launched: bool) -> list[Outcome]:
    """Train the cells."""
    outcomes = [
        outcome
        for number, group in enumerate(groups(chosen, launched=launched))
        for outcome in run(group, folder / f"{number}-{group.id}")
    ]
    assert {outcome.cell for outcome in outcomes} == set(chosen)
    return outcomes


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{outcome.cell.id}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]


@pytest.mark.parametrize("precision", precisions(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_leads_farther_away_than_rounding(mistake: str, precision: PrecisionSpec) -> None:
    assert deviation(MISTAKES[mistake].weights(), TRUTH) > 3 * tolerance(precision.policy)


def mismatch(cell: Cell) -> str:
    """Return how what the resolver says differs from what the specs imply."""
    plan, left, surplus = cell.plan(), expected(cell), []
    for problem in () if isinstance(plan, RunPlan) else plan.problems:
        match = next((one for one in left if one.is_told_by(problem.argument, problem.reason)), None)
        if match is None:
            surplus.append(str(problem))
        else:
            left.remove(match)
    if surplus or left:
        return f"{cell.id}: {surplus} were not to be expected, {left} are missing"
    if not isinstance(plan, RunPlan) and not plan.suggestions:
        return f"{cell.id}: nothing is said to work instead of it"
    return ""


def families() -> list[object]:
    """Return all families of devices; where there are none, alternatives are searched for, which takes long."""
    return [pytest.param(spec.name, marks=[] if spec.name == "cpu" else pytest.mark.long) for spec in accelerators()]


@pytest.mark.parametrize("accelerator", families())
def test_problems_are_those_that_the_specs_imply(accelerator: str) -> None:
    wrong = [found for cell in cells(accelerator) if (found := mismatch(cell))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(600)
@pytest.mark.skipif(BACKEND != "cpu", reason="the whole is run instead")
def test_each_strategy_and_each_precision_agrees_with_a_plain_loop(tmp_path: Path) -> None:
    chosen = representatives("cpu")
    names = {strategy_spec(cell.strategy).name for cell in valid("cpu")}
    assert {cell.strategy for cell in chosen} == names
    assert len({cell.precision for cell in chosen}) == min(len(precisions()), len(chosen))
    outcomes = trained(chosen, tmp_path, launched=False)
    assert not failures(outcomes), "\n".join(failures(outcomes))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_valid_combination_agrees_with_a_plain_loop(tmp_path: Path) -> None:
    spec = next((one for one in accelerators() if one.name == BACKEND), None)
    if spec is None or not probe(spec).available:
        pytest.skip(f"{BACKEND} is not installed." if spec is None else probe(spec).reason)
    outcomes = trained(valid(BACKEND), tmp_path, launched=True)
    write(BACKEND, outcomes)
    assert not failures(outcomes), "\n".join(failures(outcomes))
