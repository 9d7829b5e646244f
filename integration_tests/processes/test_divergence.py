"""Ranks that do different things are found within seconds, and the user is told each one's file and line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from process_tools import FOLDER, end, environment, group, printed_by, start, wait_until

PROGRAM = "diverging_program.py"
SECONDS = 10.0
FEW = ["one gathers", "one raises", "past us"]
MANY = ["one saves", "other shapes", "other sources", "one skips", "one validates", "one ends", "one is killed"]


def lines_of(kind: str) -> dict[int, int]:
    """Return the line at which a rank parts from the others, where the program marks one for that kind."""
    text = (FOLDER / PROGRAM).read_text().splitlines()
    name = next(line for line in text if f'"{kind}": ' in line).split(": ")[1].rstrip(",")
    begin = next(number for number, line in enumerate(text) if line.startswith(f"class {name}("))
    found = {}
    for number, line in enumerate(text[begin:], begin + 1):
        if number > begin + 1 and line.startswith("class "):
            break
        if "parts here" in line:
            found |= {0: number, 1: number} if "both" in line else {int(line.split("# rank ")[1][0]): number}
    return found


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        *[(kind, "ddp") for kind in FEW],
        *[pytest.param(kind, "ddp", marks=pytest.mark.long) for kind in MANY],
        *[pytest.param(kind, "ddp_spawn", marks=pytest.mark.long) for kind in ("one gathers", "one raises", "past us")],
    ],
)
def test_each_rank_is_shown_with_its_file_and_line(kind: str, strategy: str) -> None:
    program = start(PROGRAM, kind, strategy, env=environment(FULMEN_DEBUG_COLLECTIVES=1))
    try:
        _, errors = printed_by(program)
        ended = time.time()
        assert wait_until(lambda: not group(program.pid), 5.0)
    finally:
        end([program])
    assert program.returncode not in (0, None)
    progress = [float(at) for at in re.findall(r"at (\d{10,}\.\d+)", errors)]
    assert progress, errors
    last_progress = max(progress)
    print(f"{kind}, {strategy}: ended after {ended - last_progress:.1f} s")
    assert ended - last_progress < SECONDS
    if kind == "one is killed":
        assert "Rank 1 was killed by SIGKILL" in errors
        return
    shown = {int(rank): int(line) for rank, line in re.findall(rf"rank ([01]) .*?{PROGRAM}:(\d+)", errors)}
    assert shown.keys() == {0, 1}, errors
    assert shown.items() >= lines_of(kind).items(), errors
    if kind == "one raises":
        assert "KeyError: 'rank one has had enough'" in errors
    else:
        assert "DivergenceError" in errors


def test_a_long_step_of_the_users_is_no_waiting_for_others() -> None:
    program = start(PROGRAM, "all are slow", env=environment(FULMEN_DEBUG_COLLECTIVES=1))
    output, errors = printed_by(program)
    assert program.returncode == 0, errors
    assert output.count("the program went on") == 2


def test_ranks_that_agree_are_left_alone_and_listed(tmp_path: Path) -> None:
    program = start(PROGRAM, "nothing", env=environment(FULMEN_DEBUG_COLLECTIVES=tmp_path))
    output, errors = printed_by(program)
    assert program.returncode == 0, errors
    assert output.count("the program went on") == 2
    first, second = (file.read_text().splitlines() for file in sorted(tmp_path.glob("rank-*.jsonl")))
    assert len(first) == len(second) > 24  # at least one for each step
    assert sum('"gradients"' in line for line in first) == 12
