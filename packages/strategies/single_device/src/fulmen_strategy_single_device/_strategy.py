"""One process, one device, nothing wrapped."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal, final

import torch
from torch import nn

from fulmen_distributed import OnDevice, PlainModel, WeakList, plain_model, state_dict_type_of
from fulmen_interfaces import (
    Collectives,
    FulmenError,
    Placement,
    PrepareRequest,
    SingleProcessCollectives,
    StrategySpec,
)


@final
class SingleDeviceStrategy:
    """Trains in the calling process, on the device that it is given.

    Args:
        state_dict_type: what `save_checkpoint` writes: full (a file) or sharded (a directory, as several processes do).
    """

    def __init__(self, *, state_dict_type: Literal["full", "sharded"] = "full") -> None:
        self._state_dict_type = state_dict_type_of(state_dict_type)
        self._device = torch.device("cpu")
        self._started = False
        self._placed: WeakList[nn.Module] = WeakList()

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return SINGLE_DEVICE_SPEC

    @property
    def collectives(self) -> Collectives:
        """Those of a single process."""
        return SingleProcessCollectives()

    @property
    def root_device(self) -> torch.device:
        """The device of the newest run; the host's before the first."""
        return self._device

    def start(self, placement: Placement) -> None:
        """Remember the device; there is nobody to join."""
        self._device = placement.device
        self._started = True

    def prepare(self, request: PrepareRequest) -> PlainModel:
        """Convert and place the model, and make its optimizers over what was placed."""
        if not self._started:
            raise FulmenError("`prepare` was called before `start`, which says on which device. Call `start` first.")
        self._placed.append(request.entry)
        return plain_model(request, self._device, state_dict_type=self._state_dict_type)

    def init_context(self, device: torch.device, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context that makes modules on the device; where `empty`, torch's initial values are not computed.

        Buffers, and weights that a module fills by its own means, have their values also then.
        """
        return OnDevice(device, empty=empty)

    def teardown(self) -> None:
        """Give the device's memory back: modules return to the host."""
        for module in self._placed:
            module.to("cpu")
        self._placed.clear()
        self._started = False


SINGLE_DEVICE_SPEC = StrategySpec(
    name="single_device",
    create=SingleDeviceStrategy,
    summary="One process trains on one device.",
    priority=100,
    max_devices=1,
    multi_node=False,
    needs_process_group=False,
)
