"""How processes start and end: real programs, looked at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def pids(folder: Path) -> list[int]:
    return [int(path.read_text() or 0) for path in folder.glob("pid*")]


def outcome(*command: object, **arguments: Any) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, **arguments)


def test_a_failing_rank_ends_the_job_with_its_own_error_first(tmp_path: Path) -> None:
    done = outcome(FOLDER / "failing_program.py", "failing", tmp_path)
    assert done.returncode == 1
    first, _, rest = done.stderr.partition("KeyError: 'rank one has had enough'")
    assert "Rank 1 failed:" in first
    assert 'raise KeyError("rank one has had enough")' in first
    assert rest, "the error itself is raised here, with that traceback as its cause"
    assert "gloo" not in done.stderr
    assert len(pids(tmp_path)) == 2
    assert wait_until(lambda: not any(map(is_running, pids(tmp_path))))


def test_no_orphan_stays_when_the_first_process_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, FOLDER / "failing_program.py", "waiting", tmp_path]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: len(pids(tmp_path)) == 2 and all(pids(tmp_path)))
        (child,) = [one for one in pids(tmp_path) if one != parent.pid]
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
        assert wait_until(lambda: not is_running(child))
    finally:
        parent.kill()
        parent.wait()


def test_forked_and_spawned_processes_send_home_what_they_learned(tmp_path: Path) -> None:
    done = outcome(FOLDER / "started_program.py", tmp_path, "ddp_fork", "ddp_spawn", "forkserver")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "rank-none.json").read_text())
    for one in found.values():
        assert (one["level"], one["seen"], one["steps"], one["rank"]) == (1.5, 1.5, 1, 0)
        assert (one["half"], one["held by the callback"]) == (0.75, ["None"])
    assert found["ddp_fork"]["predicted"] == [[0.0, 1.0]]  # those of rank zero
    error, cause = found["ddp_fork"]["error"]
    assert error == "'rank one has had enough'"
    assert "Rank 1 failed:" in cause


AT_A_PROMPT = """
from started_program import DataLoader, Mean, torch, trainer
class Twice(Mean):
    def training_step(self, batch, batch_idx):
        return super().training_step(2 * batch, batch_idx)

data = DataLoader(torch.arange(4.0), batch_size=2)
raise KeyError("an earlier cell")
for strategy in ("ddp_notebook", "auto"):
    module = Twice()
    run = trainer(strategy=strategy, max_epochs=1)
    run.fit(module, data)
    print(strategy, module.level.item(), run.callback_metrics["seen"].item(), run.global_step)

trainer(strategy="ddp")
"""


def test_a_prompt_gets_weights_and_metrics_of_what_it_defined() -> None:
    done = outcome("-i", "-q", cwd=FOLDER, input=AT_A_PROMPT)
    assert done.stdout.splitlines() == ["ddp_notebook 3.0 3.0 1", "auto 3.0 3.0 1"], done.stderr
    assert "which does not work in notebooks and at a prompt" in done.stderr  # "ddp" runs a script again


def test_processes_of_torchrun_are_joined(tmp_path: Path) -> None:
    program = FOLDER / "started_program.py"
    done = outcome("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", program, tmp_path, "ddp")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text())["ddp"] for rank in (0, 1))
    assert first["level"] == second["level"] == 1.5
    assert first["pid"] != second["pid"]
    assert [first["rank"], second["rank"]] == [0, 1]


def test_a_module_is_run_again_as_a_module(tmp_path: Path) -> None:
    done = outcome("-W", "error::FutureWarning", "-um", "started_program", tmp_path, "ddp", cwd=FOLDER)
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / f"rank{rank}.json").read_text())["ddp"] for rank in (0, 1)]
    assert [one["rank"] for one in found] == [0, 1]
    assert [one["level"] for one in found] == [1.5, 1.5]


def test_code_from_a_prompt_is_refused_with_what_would_work() -> None:
    code = "import started_program; started_program.run('ddp')"
    done = outcome("-c", code, cwd=FOLDER)
    assert done.returncode == 1
    assert "Use 'ddp_fork', or write a script file." in done.stderr
