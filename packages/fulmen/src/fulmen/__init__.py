"""Train PyTorch models: a small core and plugins chosen by name.

::

    import fulmen as L

    L.Trainer(accelerator="auto", precision="bf16-mixed", max_epochs=10).fit(model, data)

Importing this package imports nothing else: every name is fetched when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen import accelerators as accelerators
    from fulmen import callbacks as callbacks
    from fulmen import fabric as fabric
    from fulmen import loggers as loggers
    from fulmen import plugins as plugins
    from fulmen import profilers as profilers
    from fulmen import strategies as strategies
    from fulmen import tuner as tuner
    from fulmen import utilities as utilities
    from fulmen_core import CombinedLoader as CombinedLoader
    from fulmen_core import Fabric as Fabric
    from fulmen_core import LightningDataModule as LightningDataModule
    from fulmen_core import LightningModule as LightningModule
    from fulmen_core import LightningOptimizer as LightningOptimizer
    from fulmen_core import RunPlan as RunPlan
    from fulmen_core import RunRequest as RunRequest
    from fulmen_core import Trainer as Trainer
    from fulmen_core import TrainerSettings as TrainerSettings
    from fulmen_core import isolate_rng as isolate_rng
    from fulmen_core import resolve as resolve
    from fulmen_core import seed_everything as seed_everything
    from fulmen_interfaces import Callback as Callback
    from fulmen_interfaces import ConfigurationError as ConfigurationError
    from fulmen_interfaces import FulmenError as FulmenError
    from fulmen_interfaces import Logger as Logger
    from fulmen_interfaces import RunningStage as RunningStage
    from fulmen_interfaces import Stage as Stage

    __version__: str

_OF_CORE = (
    "CombinedLoader",
    "Fabric",
    "LightningDataModule",
    "LightningModule",
    "LightningOptimizer",
    "RunPlan",
    "RunRequest",
    "Trainer",
    "TrainerSettings",
    "isolate_rng",
    "resolve",
    "seed_everything",
)
_OF_INTERFACES = ("Callback", "ConfigurationError", "FulmenError", "Logger", "RunningStage", "Stage")
_SUBMODULES = (
    *("accelerators", "callbacks", "fabric", "loggers", "plugins"),
    *("profilers", "strategies", "tuner", "utilities"),
)

_NAMES = {
    **dict.fromkeys(_OF_CORE, "fulmen_core"),
    **dict.fromkeys(_OF_INTERFACES, "fulmen_interfaces"),
    "__version__": "fulmen._version",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES, submodules=_SUBMODULES))
