"""Specs: what a plugin offers and needs, as plain data, and how to make it.

An entry point's value is one of these. Importing it must be cheap: the plugin's own libraries are imported by `create`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fulmen_interfaces._accelerator import Accelerator, Probe
from fulmen_interfaces._callback import Callback, CallbackRole
from fulmen_interfaces._checkpoint import CheckpointIO
from fulmen_interfaces._launch import ClusterEnvironment, Launcher
from fulmen_interfaces._logger import Logger
from fulmen_interfaces._precision import DType, Precision, PrecisionPolicy
from fulmen_interfaces._profiler import Profiler
from fulmen_interfaces._strategy import Strategy

T = TypeVar("T")

ALL_DTYPES = frozenset(DType)


@dataclass(frozen=True, kw_only=True)
class PluginSpec(Generic[T]):
    """What every spec says."""

    name: str
    """The word that users write."""
    create: Callable[..., T]
    """Makes the plugin from its settings, given by keyword; imports what it needs."""
    summary: str = ""
    """One line for listings."""


@dataclass(frozen=True, kw_only=True)
class Alias:
    """Another word for a plugin, with settings."""

    name: str
    target: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AcceleratorSpec(PluginSpec[Accelerator]):
    """A family of devices."""

    device_type: str
    """The type of its `torch.device`."""
    probe: Callable[[], Probe]
    """Looks for devices, without taking them."""
    priority: int
    """`accelerator="auto"` takes the highest of those that are available. CPU is 0."""
    families: frozenset[str] = frozenset()
    """Common names that it answers to where it is available: `gpu`."""
    dtypes: frozenset[DType] = ALL_DTYPES
    """Types in which it computes."""
    autocast: frozenset[DType] = frozenset()
    """Types to which `torch.autocast` can lower operations there."""
    loss_scaling: bool = False
    """Whether `torch.amp.GradScaler` works there."""
    process_group: str | None = None
    """Backend of `torch.distributed` for its tensors; None: it cannot take part in a group."""
    indexed: bool = True
    """Whether devices are numbered; if not, asking for n devices means n processes."""
    auto_devices: int | None = None
    """Devices that `devices="auto"` takes; None: all that are found."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A combination that a strategy cannot run although each part alone would do."""

    reason: str
    remedy: str
    device_types: frozenset[str] | None = None
    """It applies to these device types; None: to all."""
    precisions: frozenset[str] | None = None
    """It applies to these precisions, by canonical name; None: to all."""


@dataclass(frozen=True, kw_only=True)
class StrategySpec(PluginSpec[Strategy]):
    """A way to train over processes."""

    priority: int
    """`strategy="auto"` takes the highest of those that fit."""
    max_devices: int | None = None
    """Devices in all machines together that it can use; None: any number."""
    multi_node: bool = True
    """Whether it works over several machines."""
    needs_process_group: bool = True
    """Whether it needs `torch.distributed` also with one process."""
    launcher: str | None = None
    """The launcher that starts its processes where nothing else did; None: the calling process alone."""
    device_types: frozenset[str] | None = None
    """Device types that it supports; None: any."""
    autocast: frozenset[DType] = ALL_DTYPES
    """Types that it can compute in while weights stay in another."""
    cast: frozenset[DType] = ALL_DTYPES
    """Types that the whole model can be converted to."""
    loss_scaling: bool = True
    """Whether it can scale the loss."""
    refusals: tuple[Refusal, ...] = ()


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
