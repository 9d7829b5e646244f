"""Whether the GPU of an Apple processor can be used here, and why not."""

from __future__ import annotations

import platform
import sys

import torch

from fulmen_interfaces import Probe


def probe_mps() -> Probe:
    """Find the one GPU, or say why it cannot be used."""
    return Probe(1) if torch.backends.mps.is_available() else Probe(0, reason_for_none())


def reason_for_none() -> str:
    """Return why the GPU cannot be used here, and what would change it, as sentences."""
    if sys.platform != "darwin":
        return f"MPS is the GPU of Apple's processors under macOS, and this is {platform.system() or sys.platform}."
    if platform.machine() != "arm64":
        return f"MPS needs an Apple processor and a Python built for it (arm64). This one is {platform.machine()}."
    if not torch.backends.mps.is_built():
        return f"torch {torch.__version__} is built without MPS. https://pytorch.org/get-started/locally names others."
    return f"macOS {macos_version()} shows torch no GPU. macOS 14 or later does; many virtual machines do not."


def macos_version() -> str:
    """Return the version of macOS, empty elsewhere."""
    return platform.mac_ver()[0]


def has_bfloat16() -> bool:
    """Whether the system's Metal knows bfloat16: from macOS 14 on. Nothing speaks against it on another system."""
    major = macos_version().partition(".")[0]
    return not major.isdecimal() or int(major) >= 14


def has_loss_scaling() -> bool:
    """Whether torch.amp.GradScaler works there: from torch 2.8 on."""
    major, minor = torch.__version__.split(".")[:2]
    return (int(major), int(minor)) >= (2, 8)
