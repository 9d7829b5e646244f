"""Train large models with fulmen: DeepSpeed's ZeRO, stages 1 to 3."""

from __future__ import annotations

from fulmen_strategy_deepspeed._aliases import (
    DEEPSPEED_STAGE_1,
    DEEPSPEED_STAGE_1_OFFLOAD,
    DEEPSPEED_STAGE_2,
    DEEPSPEED_STAGE_2_OFFLOAD,
    DEEPSPEED_STAGE_3,
    DEEPSPEED_STAGE_3_OFFLOAD,
)
from fulmen_strategy_deepspeed._strategy import DEEPSPEED_NVME_SPEC, DEEPSPEED_SPEC, DeepSpeedStrategy

__all__ = [
    "DEEPSPEED_NVME_SPEC",
    "DEEPSPEED_SPEC",
    "DEEPSPEED_STAGE_1",
    "DEEPSPEED_STAGE_1_OFFLOAD",
    "DEEPSPEED_STAGE_2",
    "DEEPSPEED_STAGE_2_OFFLOAD",
    "DEEPSPEED_STAGE_3",
    "DEEPSPEED_STAGE_3_OFFLOAD",
    "DeepSpeedStrategy",
]
