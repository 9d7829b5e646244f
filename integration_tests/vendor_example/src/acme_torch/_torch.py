"""What torch is told about the device type."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from acme_torch._device import NAME, OTHER_WORDS, Device


class SimModule:
    """What torch finds as `torch.sim`."""

    def __init__(self, owner: Device) -> None:
        self._owner = owner

    def is_initialized(self) -> bool:
        """Whether the device is in use."""
        return True

    def is_available(self) -> bool:
        """Whether there is a device."""
        return True

    def device_count(self) -> int:
        """Return the number of devices."""
        return 1

    def current_device(self) -> int:
        """Return the index of the device in use."""
        return 0

    def device(self, device: object) -> AbstractContextManager[None]:
        """Return a context in which that device is current: there is one."""
        return nullcontext()

    def synchronize(self, device: object = None) -> None:
        """Let all copies arrive."""
        self._owner.streams.wait()

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Seed the device's generator; `torch.manual_seed` calls it."""
        self._owner.random.manual_seed(seed)

    def get_rng_state(self, device: object = None) -> torch.Tensor:
        """Return the state of the device's generator."""
        return self._owner.random.get_state()

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        """Restore the state of the device's generator."""
        self._owner.random.set_state(state)


@lru_cache(maxsize=1)
def simulator() -> Device:
    """Return the device of this process; the first call makes the type known to torch."""
    owner = Device()
    owner.random.manual_seed(torch.initial_seed())  # the seed may have been set before the device was known
    _setup_privateuseone_for_python_backend(NAME, backend_module=SimModule(owner))
    everything: Any = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]
    everything.fallback(owner.run, "PrivateUse1")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    single: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for op in OTHER_WORDS:
        single.impl(op, partial(owner.run, op), "PrivateUse1")
    owner.libraries += [everything, single]
    torch.serialization.register_package(1, lambda storage: None, partial(put_back, owner))
    return owner


def put_back(owner: Device, stored: Any, location: str) -> Any:
    """Return what `torch.load` read, on the device if it was there."""
    return owner.new_storage(stored.clone()) if location.partition(":")[0] == NAME else None
