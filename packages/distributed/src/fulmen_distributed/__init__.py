"""What the strategies of fulmen share."""

from __future__ import annotations

from fulmen_distributed._plain_model import PlainModel

__all__ = ["PlainModel"]
