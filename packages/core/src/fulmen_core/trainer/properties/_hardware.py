"""Where a run takes place."""

from __future__ import annotations

import torch

from fulmen_core.trainer.properties._base import TrainerBase
from fulmen_interfaces import (
    Accelerator,
    Collectives,
    Precision,
    SingleProcessCollectives,
    Strategy,
    World,
)


class HardwareProperties(TrainerBase):
    """Where the run takes place."""

    @property
    def strategy(self) -> Strategy:
        """How training is spread over devices."""
        return self._runner.parts.strategy

    @property
    def accelerator(self) -> Accelerator:
        """The family of devices."""
        return self._runner.plan.make_accelerator() if self._session is None else self._session.parts.accelerator

    @property
    def precision(self) -> str:
        """The numeric precision, by its canonical name."""
        return self._runner.plan.precision_spec.policy.name

    @property
    def precision_plugin(self) -> Precision:
        """The numeric precision as an object."""
        return self._runner.parts.precision

    @property
    def world(self) -> World:
        """The place of this process among all."""
        return World() if self._session is None else self._session.parts.world

    @property
    def collectives(self) -> Collectives:
        """How the processes speak to each other."""
        return SingleProcessCollectives() if self._session is None else self._session.parts.collectives

    @property
    def root_device(self) -> torch.device:
        """The device of this process."""
        return torch.device("cpu") if self._session is None else self._session.parts.device

    @property
    def global_rank(self) -> int:
        """This process among all."""
        return self.world.rank

    @property
    def local_rank(self) -> int:
        """This process among those of its machine."""
        return self.world.local_rank

    @property
    def node_rank(self) -> int:
        """This machine among all."""
        return self.world.node_rank

    @property
    def world_size(self) -> int:
        """Processes of the run."""
        return self._runner.plan.world_size

    @property
    def num_nodes(self) -> int:
        """Machines of the run."""
        return self._runner.plan.num_nodes

    @property
    def num_devices(self) -> int:
        """Devices of this machine that the run uses."""
        return len(self._runner.plan.devices)

    @property
    def device_ids(self) -> list[int]:
        """Indices of the devices of this machine that the run uses."""
        return list(self._runner.plan.devices)

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes and prints."""
        return self.world.is_global_zero
