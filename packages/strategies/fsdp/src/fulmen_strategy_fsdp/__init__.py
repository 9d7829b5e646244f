"""Train with fulmen on several devices, each with a shard of the model: torch's `fully_shard`."""

from __future__ import annotations

from fulmen_strategy_fsdp._strategy import FSDP_CPU_OFFLOAD, FSDP_SPEC, FSDPStrategy

__all__ = ["FSDP_CPU_OFFLOAD", "FSDP_SPEC", "FSDPStrategy"]
