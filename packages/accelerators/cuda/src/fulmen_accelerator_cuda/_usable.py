"""Which GPUs are not taken by others."""

from __future__ import annotations

import torch

from fulmen_accelerator_cuda._probe import num_cuda_devices, reason_for_none
from fulmen_interfaces import ConfigurationError, Problem


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """Return the indices of GPUs on which something can be placed now: `devices=find_usable_cuda_devices(2)`.

    Where each GPU admits one process (compute mode "exclusive"), those in use are left out. It starts CUDA in this
    process, so processes cannot be forked afterwards. `num_devices` is how many are wanted, -1 means all.
    Raises ConfigurationError where there are fewer.
    """
    if num_devices == 0:
        return []
    count = num_cuda_devices()
    usable: list[int] = []
    for index in range(count):
        if len(usable) == num_devices:
            break
        if _can_be_used(torch.device("cuda", index)):
            usable.append(index)
    if len(usable) < max(num_devices, 0):
        found = f"{len(usable)} of {count} GPUs can be used now." if count else reason_for_none()
        remedy = f"Ask for {len(usable)}, or wait until others are free." if usable else "accelerator='cpu' needs none."
        raise ConfigurationError([Problem("num_devices", num_devices, found, remedy)])
    return usable


def _can_be_used(device: torch.device) -> bool:
    try:
        torch.zeros((), device=device)
    except RuntimeError:
        return False
    return True
