"""What fulmen sees of the device."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from acme_torch import SWITCH, SimMemory, SimOutOfMemoryError, has_card, simulator

from fulmen_interfaces import ALL_DTYPES, AcceleratorSpec, Probe

if TYPE_CHECKING:
    import torch


class SimAccelerator:
    """One simulated device. Finding it touches nothing; making it makes the device type known to torch."""

    def __init__(self) -> None:
        simulator()

    @property
    def spec(self) -> AcceleratorSpec:
        """What the family offers."""
        return SIM_SPEC

    @property
    def memory(self) -> SimMemory:
        """The device's books."""
        return simulator().memory

    def device(self, index: int) -> torch.device:
        """Return `sim:index`; there is only `sim:0`."""
        import torch  # not with this module: the spec is cheap to import

        return torch.device("sim", index)

    def setup(self, device: torch.device) -> None:
        """Nothing has to be made current: there is one device."""

    def teardown(self) -> None:
        """Let copies arrive that nobody waits for any more."""
        simulator().streams.wait()

    # -- optional abilities, each a protocol of fulmen_interfaces ------------------------------------------------------

    def random_state(self) -> Mapping[str, torch.Tensor]:
        """Return the state of the device's generator."""
        return {"sim:0": simulator().random.get_state()}

    def set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what `random_state` returned."""
        if "sim:0" in state:
            simulator().random.set_state(state["sim:0"].cpu())

    def stats(self, device: torch.device) -> Mapping[str, float]:
        """Return what is allocated, how many operations ran, and how often the host asked for values."""
        memory = simulator().memory
        return {
            "memory_allocated_bytes": float(memory.allocated),
            "memory_peak_bytes": float(memory.peak),
            "operations": float(simulator().operations),
            "host_reads": float(simulator().host_reads),
        }

    def copy_stream(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which copies go on the copy stream."""
        return simulator().streams.copy_stream()

    def wait_for_copies(self, device: torch.device) -> None:
        """Let computing wait for all copies issued so far."""
        simulator().streams.wait()

    def keep_alive(self, tensor: torch.Tensor) -> None:
        """Note that computing uses memory of the copy stream."""
        storage: Any = tensor.untyped_storage()
        storage.block.kept_alive = True

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether the device's memory did not suffice."""
        return isinstance(error, SimOutOfMemoryError)

    def free_memory(self) -> None:
        """Collect what nobody refers to any more."""
        gc.collect()


def probe_sim() -> Probe:
    """Look whether there is a device, without touching it."""
    if has_card():
        return Probe(1)
    return Probe(0, f"No sim card is plugged in. The environment variable {SWITCH}=1 simulates one.")


SIM_SPEC = AcceleratorSpec(
    name="sim",
    create=SimAccelerator,
    summary="A device type of its own, simulated on the host.",
    device_type="sim",
    probe=probe_sim,
    priority=10,
    dtypes=ALL_DTYPES,
)
