"""Whatever happens to a rank, the job ends within seconds, not as if all were well, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from process_tools import end, group, printed_by, start, wait_until

from fulmen_core import TorchCheckpointIO

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")

MOMENTS = ["start", "set-up", "prepared", "training", "step", "writing", "validation", "teardown", "end"]
KINDS = ["SIGKILL", "SIGTERM", "exception", "exit 3", "exit 0"]
SECONDS = 15.0
FEW = [
    ("ddp", 1, "training", "SIGKILL"),
    ("ddp", 0, "prepared", "exception"),
    ("ddp", 1, "writing", "exit 0"),
    ("ddp_spawn", 0, "step", "exception"),
]


def many() -> list[tuple[str, int, str, str]]:
    draw = random.Random(20)
    by_launch = [("ddp", draw.randrange(2), draw.choice(MOMENTS), draw.choice(KINDS)) for _ in range(20)]
    others = [("ddp_spawn", draw.randrange(2), draw.choice(MOMENTS[1:-1]), draw.choice(KINDS)) for _ in range(4)]
    return by_launch + others


def name(case: tuple[str, int, str, str]) -> str:
    return f"{case[0]}-rank{case[1]}-{case[2]}-{case[3]}"


@pytest.mark.parametrize("case", [*FEW, *[pytest.param(case, marks=pytest.mark.long) for case in many()]], ids=name)
def test_the_job_ends(case: tuple[str, int, str, str], tmp_path: Path) -> None:
    strategy, rank, moment, kind = case
    program = start("struck_program.py", tmp_path, strategy, rank, moment, kind)
    struck = tmp_path / "struck"
    try:
        assert wait_until(lambda: program.poll() is not None or (struck.exists() and bool(struck.read_text())))
        assert wait_until(lambda: program.poll() is not None and not group(program.pid), 2 * SECONDS), "still running"
        ended = time.time()
        _, errors = printed_by(program)
        assert struck.exists(), errors
        took = ended - float(struck.read_text())
    finally:
        end([program])
    print(f"{name(case)}: ended after {took:.1f} s with {program.returncode}")
    # Under "ddp" rank zero is the program itself: whoever says `os._exit(0)` there, says that all is well.
    assert program.returncode != 0 or (strategy, rank, kind) == ("ddp", 0, "exit 0"), errors
    assert took < SECONDS
    if kind == "exception" and strategy == "ddp":
        first = errors[: errors.index("struck on purpose")]
        assert "in fail" in first, errors
        assert "gloo" not in errors
    files = list((tmp_path / "checkpoints").glob("*.ckpt"))
    steps = [TorchCheckpointIO().load(str(file))["global_step"] for file in files]
    least = {"training": 5, "step": 6, "writing": 1, "validation": 8, "teardown": 16, "end": 16}.get(moment)
    if least is not None:
        assert max(steps) >= least


def test_a_program_that_is_left_alone_ends_well(tmp_path: Path) -> None:
    program = start("struck_program.py", tmp_path, "ddp", 0, "never", "SIGKILL")
    output, errors = printed_by(program)
    assert (program.returncode, os.path.exists(tmp_path / "struck")) == (0, False), errors
    assert output.count("the program came to its end") == 2
