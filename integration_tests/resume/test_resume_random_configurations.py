"""Whatever the configuration, a run that is cut after any batch and resumed is the run that was not cut."""

from __future__ import annotations

import pytest
from resume_cases import Case, random_case

from fulmen_core.verification import verify_resume

CUTS = 4
SEEDS = range(100, 118)
"""18 configurations with 4 cuts each, and further checkpoints after validation and at the end of epochs."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_configuration_resumes_exactly(seed: int) -> None:
    case = random_case(seed)
    report = verify_resume(
        case.make_module, case.make_data, trainer_arguments=case.trainer_arguments(), cuts=CUTS, seed=seed
    )
    assert len(report.cuts) >= CUTS
    assert report.exact, f"{case}\n{report}"


@pytest.mark.parametrize(
    "case",
    [
        Case("plain"),
        Case("open window", optimizer="momentum", accumulate=4, batch_norm=True, augment="numpy"),
        Case("watching a metric", scheduler="plateau_step", accumulate=2, val_check_interval=2),
        Case("by hand", optimizer="manual", augment="python"),
    ],
    ids=lambda case: case.name,
)
def test_every_batch_can_be_the_last_before_a_cut(case: Case) -> None:
    report = verify_resume(
        case.make_module, case.make_data, trainer_arguments=case.trainer_arguments(), cuts=range(1, 13)
    )
    assert report.batches == 12
    assert {cut.batch for cut in report.cuts} == set(range(1, 13))
    assert report.exact, str(report)


@pytest.mark.parametrize(
    "case",
    [Case("still", workers=2), Case("changed at random", workers=2, augment="torch", accumulate=2)],
    ids=lambda case: case.name,
)
def test_worker_processes_read_on_where_they_were(case: Case) -> None:
    report = verify_resume(case.make_module, case.make_data, trainer_arguments=case.trainer_arguments(), cuts=[3, 7])
    assert report.exact, str(report)


@pytest.mark.parametrize(
    ("case", "cut"),
    [
        (Case("an open window", accumulate=2, augment="torch", val_check_interval=2), 1),
        (Case("statistics within a window", accumulate=3, batch_norm=True, metrics=True), 2),
        (Case("statistics by hand", optimizer="manual", batch_norm=True, metrics=True), 2),
        (Case("validation is next", augment="python", batch_norm=True, metrics=True, val_check_interval=2), 2),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_several_processes_go_on_together(case: Case, cut: int) -> None:
    """Each rank has data, random numbers, gradients and statistics of batch norm of its own."""
    pytest.importorskip("fulmen_strategy_ddp")
    if case.metrics:
        pytest.importorskip("torchmetrics")
    processes = {"accelerator": "cpu", "devices": 2, "strategy": "ddp_fork"}
    arguments = {**case.trainer_arguments(), **processes, "max_epochs": 1}
    report = verify_resume(case.make_module, case.make_data, trainer_arguments=arguments, cuts=[cut])
    assert report.batches == 3
    assert report.exact, str(report)
