"""The $name $kind of fulmen."""

from __future__ import annotations

from $import_name._plugin import $spec

__all__ = ["$spec"]
