"""Telling what Fabric has made ready from what it has not."""

from __future__ import annotations

from fulmen_core.fabric._loader import FabricDataLoader
from fulmen_core.fabric._module import FabricModule
from fulmen_core.fabric._optimizer import FabricOptimizer

WRAPPERS = (FabricModule, FabricOptimizer, FabricDataLoader)


def is_wrapped(obj: object) -> bool:
    """Return whether an object came from one of Fabric's `setup` methods."""
    return isinstance(obj, WRAPPERS)
