"""Gradients that are added up under stages 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fulmen_strategy_deepspeed._gradients import is_offloaded
from fulmen_strategy_deepspeed._pieces import Pieces
from fulmen_strategy_deepspeed._sums import Gradients, HostGradients


@final
class FragmentSums:
    """Stages 1 and 2. Stage 2 reduces what each batch adds, stage 1 keeps each rank's own until the step."""

    def __init__(self, engine: Any, pieces: Pieces, *, stage: int) -> None:
        self._engine, self._zero, self._pieces = engine, engine.optimizer, pieces
        flats = self._zero.single_partition_of_fp32_groups
        self._hosts = HostGradients(flats, offloaded=is_offloaded(self._zero, stage))
        self.reduced = stage == 2

    def clear(self) -> None:
        """Empty what stays, also after a step that was left out, or a run's that failed."""
        zero = self._zero
        self._hosts.clear()
        for gradient in zero.accumulated_grads_in_cpu.values() if self._hosts else ():
            gradient.zero_()
        for held in (zero.all_grad_tensors, zero.averaged_gradients):
            held.update(dict.fromkeys(held))

    def keep(self) -> None:
        """Keep what is in the host's memory; the optimizer knows of nothing else."""
        self._hosts.keep()

    def expect(self, *, alone: bool) -> None:
        """Offloaded gradients are added from the second pass on: let it be that, unless it is alone."""
        self._zero.micro_step_id = -1 if alone else 1

    def finish(self) -> None:
        """Reduce, where that is still to be done, and put all in the order of the flat tensors."""
        if self.reduced:
            self._zero.finalize_gradient_accumulation_boundary()
        else:
            self._zero.micro_step_id = 1
            self._engine._flush_coalesced_reduction_zero12(self._zero)

    def wait(self) -> None:
        """Wait for ZeRO's copies."""
        if self._hosts:
            self._zero._wait_for_offload_copies()

    def reopen(self, parts: Gradients) -> None:
        """Go on. In stage 1 what is reduced waits until what a rank adds is reduced, too."""
        zero = self._zero
        zero.zero_grad()
        for parameter, place in self._reduced():
            if parameter in parts and place.numel():
                place.copy_(parts[parameter])
                if self._hosts:
                    zero._offload_accumulated_param_ids.add(zero.get_param_id(parameter))

    def get(self) -> dict[nn.Parameter, Tensor]:
        """Return copies."""
        if self.reduced:
            return {parameter: place.clone() for parameter, place in self._reduced()}
        own = {one: self._zero.get_param_gradient_attribute(one) for one in self._pieces.places}
        return {parameter: gradient.clone() for parameter, gradient in own.items() if gradient is not None}

    def put(self, gradients: Gradients) -> None:
        """Set them; a rank's own lie where autograd leaves them."""
        zero = self._zero
        if self.reduced:
            self.reopen(gradients)
            return
        for parameter, value in gradients.items():
            value = value.reshape(parameter.shape).to(parameter.device)
            if zero.use_grad_accum_attribute:
                parameter.grad_accum = value.to(zero.gradient_accumulation_dtype)  # type: ignore[attr-defined]
            else:
                parameter.grad = value.to(parameter.dtype)

    def _reduced(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield where this rank's part of each parameter's reduced gradient lies; what is not there is made."""
        zero = self._zero
        for number, (_, parameters) in enumerate(self._pieces.groups):
            if zero._use_compact_grad_partition_buffer(number):
                flat = zero._get_compact_grad_partition_buffer(number).flat_partition
                yield from ((one, self._pieces.places[one].read(flat)) for one in parameters)
            elif self._hosts:
                yield from ((one, self._on_host(number, one)) for one in parameters)
            else:
                yield from self._dense(number, parameters)

    def _dense(self, number: int, parameters: Sequence[nn.Parameter]) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Tensors as large as the parameters, of which only this rank's part counts."""
        zero = self._zero
        mine = zero.params_in_partition[number]
        if zero.all_grad_tensors.get(number) is None:
            dtype = zero.gradient_accumulation_dtype
            zero.all_grad_tensors[number] = [torch.zeros(one.shape, dtype=dtype, device=one.device) for one in mine]
        wholes = dict(zip(mine, zero.all_grad_tensors[number], strict=True))
        for parameter in parameters:
            place = self._pieces.places[parameter]
            whole = wholes.get(parameter)
            yield parameter, parameter.new_empty(0) if whole is None else place.of(whole)

    def _on_host(self, number: int, parameter: nn.Parameter) -> Tensor:
        """A part of a tensor as large as the parameter; where the step's are of the same type, of these."""
        zero, place = self._zero, self._pieces.places[parameter]
        if zero.low_precision_master_weights_and_grads:
            return place.read(zero.single_partition_of_fp32_groups[number].grad)
        if not place.count:
            return torch.empty(0)
        held = zero.accumulated_grads_in_cpu
        key = zero.get_param_id(parameter)
        if key not in held:
            held[key] = torch.zeros(parameter.numel(), dtype=parameter.dtype, device=zero.device)
        return place.of(held[key])
