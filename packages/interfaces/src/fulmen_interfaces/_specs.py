"""The specs of the roles whose contracts say nothing of specs: precision, loggers, callbacks and the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fulmen_interfaces._callback import Callback, CallbackRole
from fulmen_interfaces._checkpoint import CheckpointIO
from fulmen_interfaces._launch import ClusterEnvironment, Launcher
from fulmen_interfaces._logger import Logger
from fulmen_interfaces._plugin import PluginSpec
from fulmen_interfaces._precision import Precision, PrecisionPolicy
from fulmen_interfaces._profiler import Profiler
from fulmen_interfaces._tuning import Tuner


@dataclass(frozen=True, kw_only=True)
class PrecisionSpec(PluginSpec[Precision]):
    """A numeric precision."""

    policy: PrecisionPolicy


@dataclass(frozen=True, kw_only=True)
class LoggerSpec(PluginSpec[Logger]):
    """A logger."""

    priority: int = 0
    """`Trainer(logger=True)` takes the highest that is installed; 0: only on request."""


@dataclass(frozen=True, kw_only=True)
class CallbackSpec(PluginSpec[Callback]):
    """A callback. One that plays a role is made by default where the user gave none of that role."""

    role: CallbackRole | None = None
    automatic: bool = False
    """Whether every Trainer gets one, unless the user gave one of its class, or the run is barebones."""


@dataclass(frozen=True, kw_only=True)
class ProfilerSpec(PluginSpec[Profiler]):
    """A profiler."""


@dataclass(frozen=True, kw_only=True)
class LauncherSpec(PluginSpec[Launcher]):
    """A launcher."""

    interactive: bool = False
    """Whether it works in notebooks and at a prompt."""


@dataclass(frozen=True, kw_only=True)
class ClusterEnvironmentSpec(PluginSpec[ClusterEnvironment]):
    """A cluster environment."""

    detect: Callable[[], bool]
    """Whether this process was started in it; looks at environment variables only."""
    priority: int = 0
    """The highest of those detected is taken."""


@dataclass(frozen=True, kw_only=True)
class CheckpointIOSpec(PluginSpec[CheckpointIO]):
    """A way to write checkpoints."""


@dataclass(frozen=True, kw_only=True)
class TunerSpec(PluginSpec[Tuner]):
    """A tuner. `create` is called with the trainer: `create(trainer=...)`."""
