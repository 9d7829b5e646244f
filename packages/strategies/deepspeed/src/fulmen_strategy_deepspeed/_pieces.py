"""Where the parts of each parameter lie on this rank, and how whole tensors are made of them and put into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fulmen_interfaces import FulmenError


@dataclass(frozen=True)
class Place:
    """This rank's part of one parameter: `count` elements from `start` on lie in `flat` from `offset` on."""

    flat: Tensor
    offset: int
    start: int
    count: int

    def read(self, values: Tensor) -> Tensor:
        """Return the part in a tensor that is laid out as `flat`."""
        return values.narrow(0, self.offset, self.count)

    def of(self, whole: Tensor) -> Tensor:
        """Return this rank's part of a whole tensor."""
        return whole.reshape(-1).narrow(0, self.start, self.count)

    def write(self, values: Tensor, whole: Tensor) -> None:
        """Put this rank's part of a whole tensor into one that is laid out as `flat`."""
        self.read(values).copy_(self.of(whole))


@final
class Pieces:
    """What a ZeRO optimizer keeps of every parameter: its master copy, and the states of the optimizer beside it.

    Each group of parameters is one flat tensor, of which each rank has a part. The states of the optimizer, which
    steps these flat tensors, are laid out alike.
    """

    def __init__(self, zero: Any, *, stage: int, device: torch.device) -> None:
        self._device = device
        self.optimizer: Any = zero.optimizer
        """The optimizer that steps the flat tensors."""
        self.groups: list[tuple[Tensor, list[nn.Parameter]]]
        """Flat tensors, each with the parameters that it holds parts of."""
        if stage == 3:
            self.groups = list(zip(zero.fp32_partitioned_groups_flat, zero.fp16_groups, strict=True))
            self.places = dict(_places_of_weights(zero, self.groups))
        else:
            self.groups = list(zip(zero.single_partition_of_fp32_groups, zero.bit16_groups, strict=True))
            self.places = dict(_places_of_fragments(zero))

    def whole(self, parameter: nn.Parameter, values: Tensor | None = None, *, owner: int | None) -> Tensor | None:
        """Return a whole tensor in host memory on the rank that is to own it, None on the others. Called on all ranks.

        `values` is laid out as the flat tensor, which is taken where it is None: the master copy of the weights.
        Without an owner every rank gets it.
        """
        place, shape = self.places[parameter], shape_of(parameter)
        source = place.flat if values is None else values
        buffer = torch.zeros(shape.numel(), dtype=source.dtype, device=self._device)
        buffer.narrow(0, place.start if place.count else 0, place.count).copy_(place.read(source.detach()))
        if owner is None:
            dist.all_reduce(buffer)
        else:
            dist.reduce(buffer, dst=owner)
        return buffer.view(shape).cpu() if owner in (None, dist.get_rank()) else None

    @torch.no_grad()
    def set_weights(self, parameter: nn.Parameter, value: Tensor) -> None:
        """Set the master copy: this rank's part of a whole tensor."""
        place = self.places[parameter]
        if place.count:
            place.write(place.flat, value.detach())


def shape_of(parameter: nn.Parameter) -> torch.Size:
    """Return a parameter's shape, also where it lies in pieces."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return torch.Size(shape)


def is_in_pieces(parameter: object) -> bool:
    """Return whether a parameter's weights are divided among the ranks."""
    return hasattr(parameter, "ds_id")


def gathered(parameter: Any) -> bool:
    """Return whether a parameter that is divided is whole at this moment, too."""
    return bool(parameter.ds_status.name == "AVAILABLE")


@torch.no_grad()
def set_divided(parameter: Any, value: Tensor) -> None:
    """Set a parameter that is divided: this rank's part, and the whole where it is gathered."""
    part = parameter.ds_tensor
    start = part.numel() * dist.get_rank(parameter.ds_process_group)
    count = min(part.numel(), max(0, parameter.ds_numel - start))
    if count:
        part.data.narrow(0, 0, count).copy_(value.detach().reshape(-1).narrow(0, start, count))
    if gathered(parameter):
        parameter.data.copy_(value.detach())


def resident(zero: Any) -> None:
    """Raise FulmenError where the states have gone to NVMe drives, from where they cannot be read in one piece."""
    if getattr(zero, "swap_optimizer", False):
        raise FulmenError(
            "State of the optimizer, or weights that go with it, was to be read or set as plain files hold it, but it "
            "lies on NVMe drives. Save with `save_weights_only=True`, or offload the optimizer to the host's memory."
        )


def _places_of_fragments(zero: Any) -> Iterator[tuple[nn.Parameter, Place]]:
    """Stages 1 and 2: all parameters lie in a row, which is cut into one flat tensor for each rank.

    They need not lie in the order of their group, of which ZeRO's own `_hp_mapping` knows nothing.
    """
    for number, flat in enumerate(zero.single_partition_of_fp32_groups):
        begin = flat.numel() * dist.get_rank(zero.real_dp_process_group[number])
        row = zip(zero.round_robin_bit16_groups[number], zero.round_robin_bit16_offsets[number], strict=True)
        for parameter, offset in row:
            first = max(offset, begin)
            count = min(offset + parameter.numel(), begin + flat.numel()) - first
            yield parameter, Place(flat, first - begin, first - offset, count) if count > 0 else Place(flat, 0, 0, 0)


def _places_of_weights(
    zero: Any, groups: Sequence[tuple[Tensor, Sequence[Any]]]
) -> Iterator[tuple[nn.Parameter, Place]]:
    """Stage 3: each parameter is cut by itself, into parts of one size; the last ones may be padding."""
    for flat, parameters in groups:
        for parameter in parameters:
            _, offset, size = zero.grad_position[zero.get_param_id(parameter)]
            start = size * dist.get_rank(parameter.ds_process_group)
            count = min(size, max(0, parameter.ds_numel - start))
            yield parameter, Place(flat, offset, min(start, parameter.ds_numel), count)
