"""Other words for the strategy: they set the stage and what is moved to the host's memory."""

from __future__ import annotations

from fulmen_interfaces import Alias


def _alias(name: str, **settings: object) -> Alias:
    return Alias(name=name, target="deepspeed", settings=settings)


DEEPSPEED_STAGE_1 = _alias("deepspeed_stage_1", stage=1)
DEEPSPEED_STAGE_1_OFFLOAD = _alias("deepspeed_stage_1_offload", stage=1, offload_optimizer=True)
DEEPSPEED_STAGE_2 = _alias("deepspeed_stage_2", stage=2)
DEEPSPEED_STAGE_2_OFFLOAD = _alias("deepspeed_stage_2_offload", stage=2, offload_optimizer=True)
DEEPSPEED_STAGE_3 = _alias("deepspeed_stage_3", stage=3)
DEEPSPEED_STAGE_3_OFFLOAD = _alias(
    "deepspeed_stage_3_offload", stage=3, offload_optimizer=True, offload_parameters=True
)
