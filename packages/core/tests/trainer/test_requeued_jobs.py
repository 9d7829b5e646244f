"""Jobs whose scheduler warns of their end: the run is saved after the batch, and ends where it will be run again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer

from fulmen_interfaces import RankError, World

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the signal is POSIX"),
    pytest.mark.filterwarnings("ignore:.*nothing is validated"),
]


class Scheduler:
    """A cluster environment of a job with one process."""

    creates_processes = False
    main_address, main_port = "127.0.0.1", 0
    job_id = "12_3"

    def __init__(self, number: int | None, refusal: str = "") -> None:
        self.requeue_signal = number
        self.refusal = refusal
        self.asked = 0

    def world(self) -> World:
        return World()

    def requeue(self) -> None:
        self.asked += 1
        if self.refusal:
            raise RankError(self.refusal)


class Warned(Line):
    """Is sent a signal in its third step."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.steps += 1
        if self.steps == 3:
            os.kill(os.getpid(), self.number)
        return self.loss(batch)


def fit(scheduler: Scheduler, folder: Path, number: int = signal.SIGUSR1) -> Warned:
    module = Warned(number)
    trainer(plugins=[scheduler], default_root_dir=folder, max_epochs=1).fit(module, loader(6))
    return module


def test_the_run_is_saved_after_the_batch_and_ends(tmp_path: Path) -> None:
    scheduler, before = Scheduler(signal.SIGUSR2), signal.getsignal(signal.SIGUSR2)
    with pytest.raises(SystemExit) as ended:
        fit(scheduler, tmp_path, signal.SIGUSR2)
    assert ended.value.code == 128 + signal.SIGUSR2
    assert scheduler.asked == 1
    (file,) = tmp_path.glob("hpc_ckpt_12_3_*.ckpt")
    assert torch.load(file, weights_only=True)["global_step"] == 3
    assert signal.getsignal(signal.SIGUSR2) is before


def test_training_goes_on_where_the_scheduler_refuses(tmp_path: Path) -> None:
    scheduler = Scheduler(signal.SIGUSR1, refusal="the queue is closed")
    with pytest.warns(UserWarning, match="the queue is closed"):
        module = fit(scheduler, tmp_path)
    assert (module.steps, scheduler.asked) == (6, 1)
    assert list(tmp_path.glob("hpc_ckpt_12_3_*.ckpt"))


def test_a_signal_is_left_alone_where_no_job_is_run_again(tmp_path: Path) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        module = fit(Scheduler(None), tmp_path)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (module.steps, came) == (6, [signal.SIGUSR1])
    assert not list(tmp_path.glob("hpc_ckpt*"))
