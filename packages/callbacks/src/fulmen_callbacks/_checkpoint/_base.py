"""What callbacks that write checkpoints have in common."""

from __future__ import annotations

from typing import ClassVar

from fulmen_interfaces import Callback, CallbackOrder, CallbackRole


class Checkpoint(Callback):
    """Base of callbacks that write checkpoints: they come last, and with one of them a run adds none of its own."""

    order: ClassVar[CallbackOrder] = CallbackOrder.CHECKPOINT
    role: ClassVar[CallbackRole | None] = CallbackRole.CHECKPOINT

    best_model_path: str = ""
    """The best checkpoint so far; empty where there is none."""
    last_model_path: str = ""
    """The checkpoint that is always the newest; empty where there is none."""
