"""Ranks that do not come to their end together: who works is waited for, who waits in vain says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from process_tools import end, group, printed_by, start, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")


def outcome(strategy: str, kind: str) -> tuple[int, str, str]:
    """Return exit code and output of the program, of which no process stays."""
    program = start("ending_program.py", strategy, kind)
    try:
        output, errors = printed_by(program)
        assert wait_until(lambda: not group(program.pid), 5)
    finally:
        end([program])
    return program.returncode, output, errors


@pytest.mark.long
def test_a_rank_that_works_on_after_rank_zero_has_ended_is_waited_for() -> None:
    code, output, errors = outcome("ddp", "works on")
    assert code == 0, errors
    assert "rank 1 came to its end" in output


def test_a_rank_that_waits_for_those_who_have_ended_ends_the_job_and_says_so() -> None:
    code, output, errors = outcome("ddp", "waits alone")
    assert "rank 0 came to its end" in output
    assert "Rank 1 waits for the others, but rank 0 has come to the end of the program" in errors
    assert code == 1


def test_the_cause_of_what_rank_zero_suffers_behind_a_fit_is_told() -> None:
    code, _, errors = outcome("ddp", "fails")
    assert code == 1
    assert "KeyError: 'behind the fit'" in errors
    assert 'raise KeyError("behind the fit")' in errors


def test_parameters_without_gradients_are_named_with_what_to_write() -> None:
    code, _, errors = outcome("ddp", "unused")
    assert code == 1
    assert "did not depend on all parameters (spare.weight, spare.bias)" in errors
    assert "ddp_find_unused_parameters_true" in errors


def test_spawned_ranks_that_are_told_to_end_early_are_no_failure_of_theirs() -> None:
    program = start("ending_program.py", "ddp_spawn", "sleeps")
    try:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("sleeps")
        program.terminate()
        _, errors = printed_by(program)
        assert wait_until(lambda: not group(program.pid), 5)
    finally:
        end([program])
    assert program.returncode == 143
    assert "Error" not in errors
