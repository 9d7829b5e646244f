"""The GPU of Apple's processors, which torch calls `mps`."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import final

import torch

from fulmen_accelerator_mps._probe import has_bfloat16, has_loss_scaling, probe_mps
from fulmen_interfaces import AcceleratorSpec, DType

DEVICE = "mps:0"


@final
class MPSAccelerator:
    """The GPU of an Apple processor. There is one, and it has no float64."""

    @staticmethod
    def is_available() -> bool:
        """Return whether the GPU can be used here."""
        return probe_mps().available

    @property
    def spec(self) -> AcceleratorSpec:
        """What the family offers."""
        return MPS_SPEC

    def device(self, index: int) -> torch.device:
        """Return `mps:index`; there is only `mps:0`."""
        return torch.device("mps", index)

    def setup(self, device: torch.device) -> None:
        """Nothing has to be made current: there is one device."""

    def teardown(self) -> None:
        """Give cached memory back."""
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()

    def random_state(self) -> Mapping[str, torch.Tensor]:
        """Return the state of the GPU's generator."""
        return {DEVICE: torch.mps.get_rng_state()}

    def set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what `random_state` returned."""
        if DEVICE in state:
            torch.mps.set_rng_state(state[DEVICE].cpu())

    def stats(self, device: torch.device) -> Mapping[str, float]:
        """Return the memory that tensors take, that the driver holds for torch, and that the system recommends."""
        return {
            "memory_allocated_bytes": float(torch.mps.current_allocated_memory()),
            "driver_allocated_bytes": float(torch.mps.driver_allocated_memory()),
            "recommended_memory_bytes": float(torch.mps.recommended_max_memory()),
        }

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether the error, or what it was raised from, says that the GPU's share of memory did not suffice."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, RuntimeError) and "MPS backend out of memory" in str(cause):
                return True
            cause = cause.__cause__
        return False

    def free_memory(self) -> None:
        """Collect what nobody refers to any more, and give cached memory back."""
        gc.collect()
        self.teardown()


_LOW = frozenset({DType.FLOAT16} | ({DType.BFLOAT16} if has_bfloat16() else set()))

MPS_SPEC = AcceleratorSpec(
    name="mps",
    create=MPSAccelerator,
    summary="The GPU of Apple's processors.",
    device_type="mps",
    probe=probe_mps,
    priority=50,
    families=frozenset({"gpu"}),
    dtypes=frozenset({DType.FLOAT32}) | _LOW,
    autocast=_LOW,
    loss_scaling=has_loss_scaling(),
)
