"""Also where strategies wrap the module, few calls of ours lie between `Trainer.fit` and the user's step."""

from __future__ import annotations

import pytest
from process_tools import printed_by, start

MOST = 10


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "deepspeed_stage_2", "ddp_sharded"])
def test_at_most_ten_frames_lead_from_fit_to_the_training_step(strategy: str) -> None:
    program = start("frames_program.py", strategy)
    output, errors = printed_by(program, 240)
    assert program.returncode == 0, errors
    frames = output.splitlines()[-1].split()
    assert frames[0] == "run", output
    assert len(frames) <= MOST, frames
