"""DeepSpeed itself: imported when it is needed, for the kind of device that a run has, and quiet."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch.distributed as dist

from fulmen_interfaces import FulmenError

_CHOICE = "DS_ACCELERATOR"
_DEVICE = "LOCAL_RANK"
_SHARED_MEMORY = "deepspeed_shm_comm"
_BY_CHOICE = ("untested ZeRO Optimizer", "untested optimizer", "before it has started")
"""What DeepSpeed warns of although the strategy has chosen it for good."""
_groups_made_for: list[object] = []
"""The default process group that DeepSpeed's own groups belong to: there is one of each in a process."""


def load(device_type: str, *, level: int) -> ModuleType:
    """Import DeepSpeed, or take what is imported. Raises FulmenError where that works on another kind of device."""
    first = "deepspeed" not in sys.modules
    with _chosen(device_type) if first else _nothing():
        library = importlib.import_module("deepspeed")
    name = library.get_accelerator().device_name()
    if name != device_type:
        raise FulmenError(
            f"This run is on {device_type}, but DeepSpeed was imported in this process for {name}, which it cannot "
            f"change. Set {_CHOICE}={device_type} before the program starts, or import DeepSpeed after the Trainer "
            "has begun."
        )
    logger = logging.getLogger("DeepSpeed")
    logger.setLevel(level)
    if _is_news not in logger.filters:
        logger.addFilter(_is_news)
    if first:
        # DeepSpeed calls what torch will rename; whoever trains can do nothing about it.
        warnings.filterwarnings("ignore", message=r".*torch\.distributed\.\w+` is deprecated", category=FutureWarning)
    if device_type == "cpu":
        # A compiled kernel for inference over shared memory: it takes minutes to build and is not used here.
        library.ops.__compatible_ops__[_SHARED_MEMORY] = False
    return library


def meet(library: ModuleType) -> None:
    """Let DeepSpeed use torch's process group. What it knows of an earlier one is forgotten."""
    present = dist.group.WORLD
    if _groups_made_for and _groups_made_for[-1] is not present:
        from deepspeed.utils import groups

        groups._release_process_group_references()
    _groups_made_for[:] = [present]
    library.init_distributed(dist_backend=dist.get_backend(), dist_init_required=False, verbose=False)


def tell_device(index: int | None) -> None:
    """Set the variable by which DeepSpeed finds its device; None: remove it."""
    if index is None:
        os.environ.pop(_DEVICE, None)
    else:
        os.environ[_DEVICE] = str(index)


def told_device() -> int | None:
    """Return what that variable says, which others set to this process' number on its machine."""
    return int(os.environ[_DEVICE]) if _DEVICE in os.environ else None


def _is_news(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _BY_CHOICE)


@contextmanager
def _chosen(device_type: str) -> Iterator[None]:
    """DeepSpeed looks for a device when it is imported; let it take this one, unless the user has chosen."""
    chosen = _CHOICE not in os.environ
    os.environ.setdefault(_CHOICE, device_type)
    log = logging.getLogger("DeepSpeed")
    before = log.level
    try:
        yield
    finally:
        log.setLevel(before)
        if chosen:
            del os.environ[_CHOICE]


@contextmanager
def _nothing() -> Iterator[None]:
    yield
