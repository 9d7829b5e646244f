"""One process, one device, nothing wrapped."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, final

import torch
from torch import nn

from fulmen_distributed import PlainModel
from fulmen_interfaces import (
    BrokenPlugin,
    Collectives,
    FulmenError,
    Placement,
    PrepareRequest,
    SingleProcessCollectives,
    StrategySpec,
)
from fulmen_strategy_single_device._init import OnDevice


@final
class SingleDeviceStrategy:
    """Trains in the calling process, on the device that it is given."""

    def __init__(self) -> None:
        self._device: torch.device | None = None
        self._placed: list[nn.Module] = []

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return SINGLE_DEVICE_SPEC

    @property
    def collectives(self) -> Collectives:
        """Those of a single process."""
        return SingleProcessCollectives()

    def start(self, placement: Placement) -> None:
        """Remember the device; there is nobody to join."""
        self._device = placement.device

    def prepare(self, request: PrepareRequest) -> PlainModel:
        """Convert and place the model, and make its optimizers over what was placed."""
        device = self._started("prepare")
        precision = request.precision
        if precision.convert_module(request.module) is not request.module:
            raise BrokenPlugin(
                f"The precision {precision.policy.name!r} made a new module out of {type(request.module).__name__}. "
                "Steps run in the user's own module, so it must be converted in place. Its author must correct "
                "`convert_module`."
            )
        request.entry.to(device)
        self._placed.append(request.entry)
        optimizers = tuple(request.make_optimizers())
        return PlainModel(
            module=request.module,
            training_module=request.entry,
            evaluation_module=request.entry,
            optimizers=optimizers,
            precision=precision,
            device_type=device.type,
            scaler=precision.grad_scaler(device.type) if optimizers else None,
        )

    def init_context(self, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context that makes modules on the device; where `empty`, torch's initial values are not computed.

        Buffers, and weights that a module fills by its own means, have their values also then.
        """
        return OnDevice(self._started("init_context"), empty=empty)

    def teardown(self) -> None:
        """Give the device's memory back: modules return to the host."""
        for module in self._placed:
            module.to("cpu")
        self._placed.clear()
        self._device = None

    def _started(self, asked: str) -> torch.device:
        if self._device is None:
            raise FulmenError(f"`{asked}` was called before `start`, which says on which device. Call `start` first.")
        return self._device


SINGLE_DEVICE_SPEC = StrategySpec(
    name="single_device",
    create=SingleDeviceStrategy,
    summary="One process trains on one device.",
    priority=100,
    max_devices=1,
    multi_node=False,
    needs_process_group=False,
)
