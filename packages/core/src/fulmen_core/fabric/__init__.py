"""Fabric: the user's own loop on the engine of the Trainer."""

from __future__ import annotations

from fulmen_core.fabric._fabric import Fabric
from fulmen_core.fabric._loader import FabricDataLoader
from fulmen_core.fabric._module import FabricModule
from fulmen_core.fabric._optimizer import FabricOptimizer
from fulmen_core.fabric._wrapped import is_wrapped

__all__ = ["Fabric", "FabricDataLoader", "FabricModule", "FabricOptimizer", "is_wrapped"]
