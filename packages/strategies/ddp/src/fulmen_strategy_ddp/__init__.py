"""The ddp strategy of fulmen."""

from __future__ import annotations

from fulmen_strategy_ddp._plugin import DDP_SPEC

__all__ = ["DDP_SPEC"]
