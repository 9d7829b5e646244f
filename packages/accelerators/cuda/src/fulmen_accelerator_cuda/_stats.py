"""How a GPU is doing. Nothing here waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

import torch


def device_stats(device: torch.device) -> dict[str, float]:
    """Return the allocator's figures under torch's names, the device's memory, and (with nvidia-ml-py) its load."""
    return {**allocator_stats(device), **memory_stats(device), **load_stats(device)}


def allocator_stats(device: torch.device) -> dict[str, float]:
    """Return what torch's allocator counts, such as `allocated_bytes.all.current`; nothing before CUDA is started."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    figures: Mapping[str, object] = torch.cuda.memory_stats(device)
    return {name: value for name, value in figures.items() if isinstance(value, (int, float))}


def memory_stats(device: torch.device) -> dict[str, float]:
    """Return the memory of the device itself, which others may use too."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    free, total = torch.cuda.mem_get_info(device)
    return {"device_memory_free_bytes": float(free), "device_memory_total_bytes": float(total)}


def load_stats(device: torch.device) -> dict[str, float]:
    """Return what the driver measures: of slices of GPUs (MIG) and of some cards it does not tell all."""
    library = "amdsmi" if torch.version.hip else "pynvml"
    if find_spec(library) is None:
        return {}
    readings: dict[str, Callable[[torch.device], int]] = {
        "utilization_percent": torch.cuda.utilization,
        "memory_bandwidth_utilization_percent": torch.cuda.memory_usage,
        "temperature_celsius": torch.cuda.temperature,
        "power_milliwatts": torch.cuda.power_draw,
    }
    found = {name: _reading(read, device) for name, read in readings.items()}
    return {name: value for name, value in found.items() if value is not None}


def _reading(read: Callable[[torch.device], int], device: torch.device) -> float | None:
    try:
        return float(read(device))
    except Exception:  # the library has error classes of its own, and none of them may end a run
        return None
