"""Looking for GPUs without starting CUDA, so that this process can still be forked; and why there is none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from fulmen_interfaces import Probe

DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Where Linux shows a driver: NVIDIA's, that of the Windows subsystem, and AMD's."""
GET_STARTED = "https://pytorch.org/get-started/locally"


def num_cuda_devices() -> int:
    """Return how many GPUs this process sees: CUDA_VISIBLE_DEVICES decides which, and in what order they are numbered.

    CUDA is not started for it where the driver's management library (NVML) can be asked. It cannot where
    CUDA_VISIBLE_DEVICES names slices of GPUs (`MIG-...`): then the driver is asked, after which a fork cannot use it.
    """
    return torch.cuda.device_count()


def probe_cuda() -> Probe:
    """Count the GPUs that this process sees, or say why it sees none."""
    count = num_cuda_devices()
    return Probe(count) if count else Probe(0, reason_for_none())


def reason_for_none() -> str:
    """Return why no GPU can be used here, and what would change it, as sentences."""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return f"torch {torch.__version__} is built without CUDA. {GET_STARTED} names builds for GPUs."
    if torch.cuda._is_in_bad_fork():
        return "This process was forked from one that had used CUDA, and cannot use it. Start it by spawn instead."
    hiding = hiding_variable()
    if hiding:
        return hiding
    built_for = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    if sys.platform == "linux" and not any(Path(file).exists() for file in DRIVER_FILES):
        return f"torch is built for {built_for}, but no driver of a GPU is loaded on this machine or in this container."
    return f"torch is built for {built_for}, but the driver shows no GPU that it could use. `nvidia-smi` shows more."


def hiding_variable() -> str:
    """Return which environment variable hides all GPUs, as sentences; nothing where none is set."""
    names = ["CUDA_VISIBLE_DEVICES"]
    if torch.version.hip:
        names += ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]
    for name in names:
        value = os.environ.get(name)
        if value is None:
            continue
        if value.strip() in ("", "-1"):
            return f"The environment variable {name}={value!r} hides all GPUs. Unset it, or name some: {name}=0,1."
        return f"The environment variable {name}={value!r} names no GPU of this machine. `nvidia-smi -L` lists them."
    return ""
