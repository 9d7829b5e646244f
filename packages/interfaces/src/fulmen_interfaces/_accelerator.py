"""Accelerators: one family of devices each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fulmen_interfaces._plugin import PluginSpec
from fulmen_interfaces._precision import ALL_DTYPES, DType

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Probe:
    """What was found when looking for devices."""

    count: int
    """Usable devices of this machine; for a family without indices (CPU), the processes that make sense."""
    reason: str = ""
    """Why there is none, as a sentence; empty where there is one."""

    @property
    def available(self) -> bool:
        """Whether at least one device can be used."""
        return self.count > 0


@runtime_checkable
class Accelerator(Protocol):
    """One family of devices. Objects are cheap to make and touch no device before `setup`."""

    @property
    def spec(self) -> AcceleratorSpec:
        """What the family offers."""
        ...

    def device(self, index: int) -> torch.device:
        """Return the device of that index."""
        ...

    def setup(self, device: torch.device) -> None:
        """Make the device current. Called once per process, before anything is placed on it."""
        ...

    def teardown(self) -> None:
        """Free what was cached. Called once per process, at the end, also after errors."""
        ...


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


@runtime_checkable
class SupportsRandomState(Protocol):
    """An accelerator with a random generator of its own; checkpoints hold its state."""

    def random_state(self) -> Mapping[str, torch.Tensor]:
        """Return the states of this process' devices, by device name."""
        ...

    def set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what `random_state` returned; devices that are absent here are left out."""
        ...


@runtime_checkable
class SupportsDeviceStats(Protocol):
    """An accelerator that can tell how its devices are doing."""

    def stats(self, device: torch.device) -> Mapping[str, float]:
        """Return figures by name, with the unit in the name: `memory_allocated_bytes`."""
        ...


@runtime_checkable
class SupportsAsyncTransfer(Protocol):
    """An accelerator that copies the next batch while it computes."""

    def copy_stream(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which copies to the device go on a stream of their own."""
        ...

    def wait_for_copies(self, device: torch.device) -> None:
        """Let the compute stream wait for all copies issued so far, without blocking the host."""
        ...

    def keep_alive(self, tensor: torch.Tensor) -> None:
        """Tell the allocator that the compute stream uses a tensor that was made on the copy stream."""
        ...


@runtime_checkable
class SupportsLazyExecution(Protocol):
    """An accelerator that records operations and runs them when told (XLA-like)."""

    def mark_step(self) -> None:
        """Run what was recorded. Called once after every batch."""
        ...


@runtime_checkable
class SupportsMemoryRecovery(Protocol):
    """An accelerator that can go on after it ran out of memory."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether the error says that the device's memory did not suffice."""
        ...

    def free_memory(self) -> None:
        """Give cached memory back."""
        ...
