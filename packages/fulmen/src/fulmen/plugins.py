"""What `Trainer(plugins=...)` takes: precision, cluster environments, checkpoint io."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_core import AsyncCheckpointIO as AsyncCheckpointIO
    from fulmen_core import TorchCheckpointIO as TorchCheckpointIO
    from fulmen_distributed import KubeflowEnvironment as KubeflowEnvironment
    from fulmen_distributed import LSFEnvironment as LSFEnvironment
    from fulmen_distributed import MPIEnvironment as MPIEnvironment
    from fulmen_distributed import SLURMEnvironment as SLURMEnvironment
    from fulmen_interfaces import CheckpointIO as CheckpointIO
    from fulmen_interfaces import ClusterEnvironment as ClusterEnvironment
    from fulmen_interfaces import Precision as Precision
    from fulmen_interfaces import PrecisionPolicy as PrecisionPolicy
    from fulmen_precision import TorchPrecision as TorchPrecision

_NAMES = {
    "AsyncCheckpointIO": "fulmen_core",
    "CheckpointIO": "fulmen_interfaces",
    "ClusterEnvironment": "fulmen_interfaces",
    "KubeflowEnvironment": "fulmen_distributed",
    "LSFEnvironment": "fulmen_distributed",
    "MPIEnvironment": "fulmen_distributed",
    "Precision": "fulmen_interfaces",
    "PrecisionPolicy": "fulmen_interfaces",
    "SLURMEnvironment": "fulmen_distributed",
    "TorchCheckpointIO": "fulmen_core",
    "TorchPrecision": "fulmen_precision",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
