"""What `Trainer(plugins=...)` takes: precision, cluster environments, checkpoint io."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_core import TorchCheckpointIO as TorchCheckpointIO
    from fulmen_interfaces import CheckpointIO as CheckpointIO
    from fulmen_interfaces import ClusterEnvironment as ClusterEnvironment
    from fulmen_interfaces import Precision as Precision
    from fulmen_interfaces import PrecisionPolicy as PrecisionPolicy
    from fulmen_precision import TorchPrecision as TorchPrecision

_NAMES = {
    "CheckpointIO": "fulmen_interfaces",
    "ClusterEnvironment": "fulmen_interfaces",
    "Precision": "fulmen_interfaces",
    "PrecisionPolicy": "fulmen_interfaces",
    "TorchCheckpointIO": "fulmen_core",
    "TorchPrecision": "fulmen_precision",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
