"""Fabric: your own training loop on the devices, strategies and precisions of the Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_core import seed_everything as seed_everything
    from fulmen_core.fabric import Fabric as Fabric
    from fulmen_core.fabric import FabricDataLoader as FabricDataLoader
    from fulmen_core.fabric import FabricModule as FabricModule
    from fulmen_core.fabric import FabricOptimizer as FabricOptimizer
    from fulmen_core.fabric import is_wrapped as is_wrapped

_NAMES = {
    "Fabric": "fulmen_core",
    **dict.fromkeys(("FabricDataLoader", "FabricModule", "FabricOptimizer", "is_wrapped"), "fulmen_core.fabric"),
    "seed_everything": "fulmen_core",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
