"""What is recomputed instead of kept."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any


def configure_activations(library: ModuleType, config: Mapping[str, Any]) -> None:
    """Tell `deepspeed.checkpointing.checkpoint` what the config says of it."""
    section = config.get("activation_checkpointing", {})
    library.checkpointing.configure(
        mpu_=None,
        partition_activations=section.get("partition_activations", False),
        contiguous_checkpointing=section.get("contiguous_memory_optimization", False),
        num_checkpoints=section.get("number_checkpoints"),
        checkpoint_in_cpu=section.get("cpu_checkpointing", False),
        synchronize=section.get("synchronize_checkpoint_boundary", False),
        profile=section.get("profile", False),
    )
