"""torch's process-wide switches, set for the length of a run and put back afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fulmen_core.settings import EffectiveSettings


@contextmanager
def torch_flags(settings: EffectiveSettings) -> Iterator[None]:
    """Inside, deterministic algorithms, cuDNN's benchmark and anomaly detection are as the settings say."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    anomaly = torch.is_anomaly_enabled()
    if settings.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=settings.deterministic == "warn")
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # cuBLAS is deterministic only with a fixed workspace
    if settings.benchmark is not None:
        torch.backends.cudnn.benchmark = settings.benchmark
    if settings.detect_anomaly:
        torch.autograd.set_detect_anomaly(True)
    try:
        yield
    finally:
        now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        if now != (deterministic, warn_only):  # the call imports torch's compiler, which takes seconds
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        torch.autograd.set_detect_anomaly(anomaly)
