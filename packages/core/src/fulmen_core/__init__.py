"""The core of fulmen: modules, trainer and loops. It knows no device and no strategy; it finds them by name.

Names are fetched when they are first used, so that a program pays only for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fulmen_core._seed import isolate_rng, seed_everything
    from fulmen_core.checkpoint import AsyncCheckpointIO, TorchCheckpointIO, consolidate_checkpoint
    from fulmen_core.data import CombinedLoader, LightningDataModule
    from fulmen_core.fabric import Fabric
    from fulmen_core.module import LightningModule, LightningOptimizer
    from fulmen_core.resolver import RunPlan, RunRequest, resolve
    from fulmen_core.settings import TrainerSettings
    from fulmen_core.trainer import Trainer
    from fulmen_core.verification import verify_resume

__all__ = [
    "AsyncCheckpointIO",
    "CombinedLoader",
    "Fabric",
    "LightningDataModule",
    "LightningModule",
    "LightningOptimizer",
    "RunPlan",
    "RunRequest",
    "TorchCheckpointIO",
    "Trainer",
    "TrainerSettings",
    "consolidate_checkpoint",
    "isolate_rng",
    "resolve",
    "seed_everything",
    "verify_resume",
]

_HOMES = {
    "AsyncCheckpointIO": "checkpoint",
    "CombinedLoader": "data",
    "Fabric": "fabric",
    "LightningDataModule": "data",
    "LightningModule": "module",
    "LightningOptimizer": "module",
    "RunPlan": "resolver",
    "RunRequest": "resolver",
    "TorchCheckpointIO": "checkpoint",
    "Trainer": "trainer",
    "TrainerSettings": "settings",
    "consolidate_checkpoint": "checkpoint",
    "isolate_rng": "_seed",
    "resolve": "resolver",
    "seed_everything": "_seed",
    "verify_resume": "verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
