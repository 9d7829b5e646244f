"""Gradients that are added up under stage 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, final

from torch import Tensor, nn

from fulmen_strategy_deepspeed._gradients import is_offloaded
from fulmen_strategy_deepspeed._pieces import Pieces
from fulmen_strategy_deepspeed._sums import Gradients, HostGradients


@final
class PartitionSums:
    """Stage 3: one flat tensor with a part of each parameter, which is filled as soon as a gradient is there."""

    reduced = True

    def __init__(self, zero: Any, pieces: Pieces) -> None:
        from deepspeed.accelerator import get_accelerator

        self._zero, self._pieces = zero, pieces
        self._synchronize: Callable[[], None] = get_accelerator().synchronize
        self._hosts = HostGradients(zero.fp32_partitioned_groups_flat, offloaded=is_offloaded(zero, 3))

    def clear(self) -> None:
        """Empty what stays."""
        self._hosts.clear()
        self._zero.grad_partitions_flat_buffer.zero_()

    def keep(self) -> None:
        """Keep what is in the host's memory; the optimizer knows of nothing else."""
        self._hosts.keep()

    def expect(self, *, alone: bool) -> None:
        """Let gradients be added, as from the second pass on."""
        self._zero.micro_step_id = 1

    def finish(self) -> None:
        """Let offloaded gradients follow to the host; the others are in place."""
        self._zero.finalize_gradient_accumulation_boundary()

    def wait(self) -> None:
        """Wait for the device, where copies end on the host."""
        if self._hosts:
            self._synchronize()

    def reopen(self, parts: Gradients) -> None:
        """They are where they were."""

    def get(self) -> dict[nn.Parameter, Tensor]:
        """Return copies."""
        return {parameter: place.clone() for parameter, place in self._reduced()}

    def put(self, gradients: Gradients) -> None:
        """Set them, and show them to the step."""
        zero = self._zero
        for parameter, place in self._reduced():
            if parameter in gradients and place.numel():
                place.copy_(gradients[parameter])
                zero._offload_boundary_param_ids.add(parameter.ds_id)
        zero.independent_gradient_partition_epilogue()

    def _reduced(self) -> Iterator[tuple[Any, Tensor]]:
        flat, offset = self._zero.grad_partitions_flat_buffer, 0
        for parameter in chain.from_iterable(self._zero.fp16_groups):
            yield parameter, flat.narrow(0, offset, self._pieces.places[parameter].count)
            offset += parameter.partition_numel()
