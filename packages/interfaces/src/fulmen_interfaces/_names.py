"""Names that users write: near misses, and names whose distribution is not installed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

KNOWN_DISTRIBUTIONS: dict[str, dict[str, str]] = {
    "fulmen.accelerators": {
        "cpu": "fulmen-accelerator-cpu",
        "cuda": "fulmen-accelerator-cuda",
        "gpu": "fulmen-accelerator-cuda",
        "mps": "fulmen-accelerator-mps",
    },
    "fulmen.callbacks": {
        "model_checkpoint": "fulmen-callbacks",
        "model_summary": "fulmen-callbacks",
        "progress_bar": "fulmen-callbacks",
    },
    "fulmen.loggers": {
        "csv": "fulmen-logger-csv",
        "mlflow": "fulmen-logger-mlflow",
        "tensorboard": "fulmen-logger-tensorboard",
        "wandb": "fulmen-logger-wandb",
    },
    "fulmen.precisions": {
        "16": "fulmen-precision",
        "16-mixed": "fulmen-precision",
        "16-true": "fulmen-precision",
        "32": "fulmen-precision",
        "32-true": "fulmen-precision",
        "64": "fulmen-precision",
        "64-true": "fulmen-precision",
        "bf16": "fulmen-precision",
        "bf16-mixed": "fulmen-precision",
        "bf16-true": "fulmen-precision",
    },
    "fulmen.profilers": {
        "advanced": "fulmen-profilers",
        "pytorch": "fulmen-profilers",
        "simple": "fulmen-profilers",
    },
    "fulmen.strategies": {
        "ddp": "fulmen-strategy-ddp",
        "ddp_fork": "fulmen-strategy-ddp",
        "ddp_notebook": "fulmen-strategy-ddp",
        "ddp_sharded": "fulmen-strategy-fairscale",
        "ddp_sharded_spawn": "fulmen-strategy-fairscale",
        "ddp_spawn": "fulmen-strategy-ddp",
        "deepspeed": "fulmen-strategy-deepspeed",
        "deepspeed_stage_1": "fulmen-strategy-deepspeed",
        "deepspeed_stage_1_offload": "fulmen-strategy-deepspeed",
        "deepspeed_stage_2": "fulmen-strategy-deepspeed",
        "deepspeed_stage_2_offload": "fulmen-strategy-deepspeed",
        "deepspeed_stage_3": "fulmen-strategy-deepspeed",
        "deepspeed_stage_3_offload": "fulmen-strategy-deepspeed",
        "deepspeed_stage_3_offload_nvme": "fulmen-strategy-deepspeed",
        "fairscale": "fulmen-strategy-fairscale",
        "fsdp": "fulmen-strategy-fsdp",
        "fsdp_cpu_offload": "fulmen-strategy-fsdp",
        "single_device": "fulmen-strategy-single-device",
    },
    "fulmen.tuners": {
        "default": "fulmen-tuner",
    },
}
"""Entry-point group → name → the distribution of ours that offers it: what to install where a name is absent."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return `Did you mean 'ddp'?` for the nearest option, or nothing where none is near."""
    near = get_close_matches(name.lower(), sorted(set(options)), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""
