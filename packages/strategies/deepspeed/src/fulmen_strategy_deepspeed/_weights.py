"""The module's state, whole and under its own names, however ZeRO has divided it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fulmen_interfaces import SavedState
from fulmen_strategy_deepspeed._pieces import Pieces, gathered, is_in_pieces, set_divided, shape_of

Owner = Callable[[int], int]
"""Which rank is to have the whole of the tensor with that number."""


@final
class Weights:
    """Reads and sets what a module's `state_dict` holds."""

    def __init__(self, module: nn.Module, pieces: Pieces | None, *, masters: bool) -> None:
        self._module = module
        self._pieces = pieces
        self._masters = masters
        """Whether the weights that the module computes with are rounded from others."""

    def state(self, owner: Owner) -> dict[str, Any]:
        """Return the module's state. What is divided is given to its owner only. Called on all ranks."""
        found: dict[str, Any] = {}
        for number, (name, value) in enumerate(self._module.state_dict(keep_vars=True).items()):
            whole = self._whole(value, owner(number)) if isinstance(value, nn.Parameter) else _detached(value)
            if whole is not None:
                found[name] = whole
        return found

    def load(self, state: Mapping[str, Any], *, strict: bool) -> None:
        """Set the module's state, of which every rank can read the whole. RuntimeError where it does not fit."""
        if any(map(is_in_pieces, self._module.parameters())):
            self._load_divided(state, strict=strict)
            return
        values = {name: state[name] for name in state}
        self._module.load_state_dict(values, strict=strict)
        for name, parameter in self._module.named_parameters():
            if name in values:
                self._set_master(parameter, values[name])

    def restored(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield every parameter with its whole value in host memory. Called on all ranks where it is divided."""
        for parameter in self._module.parameters():
            value = self._whole(parameter, None)
            if value is not None:
                value = value.detach().to("cpu", copy=True)
                yield parameter, value.float() if self._masters and value.is_floating_point() else value

    def restore_buffers(self) -> None:
        """Let buffers be as exact as the weights: float32, where they were rounded to compute with."""
        for buffer in self._module.buffers() if self._masters else ():
            if buffer.is_floating_point():
                buffer.data = buffer.data.float()

    def _set_master(self, parameter: nn.Parameter, value: Tensor) -> None:
        if self._pieces is not None and parameter in self._pieces.places:
            self._pieces.set_weights(parameter, value)

    def _whole(self, parameter: nn.Parameter, owner: int | None) -> Tensor | None:
        pieces = self._pieces
        divided = is_in_pieces(parameter)
        if pieces is not None and parameter in pieces.places and (divided or self._masters):
            return pieces.whole(parameter, owner=owner)
        return _gathered_for(parameter, owner) if divided else parameter.detach()

    def _load_divided(self, state: Mapping[str, Any], *, strict: bool) -> None:
        own = self._module.state_dict(keep_vars=True)
        wrong = [f"{name} is absent" for name in own if name not in state] if strict else []
        wrong += [f"{name} is unknown" for name in state if name not in own] if strict else []
        divided = {name: value for name, value in own.items() if is_in_pieces(value) and name in state}
        for name, parameter in divided.items():
            if (shape := _shape(state, name)) != shape_of(parameter):
                shapes = f"{tuple(shape or ())}, but is {tuple(shape_of(parameter))} here"
                wrong.append(f"{name} was saved with the shape {shapes}")
        if wrong:
            raise RuntimeError(f"The state does not fit {type(self._module).__name__}: {'; '.join(wrong)}.")
        for name, parameter in divided.items():
            value = state[name]
            set_divided(parameter, value)
            self._set_master(parameter, value)
        others = {name: state[name] for name in own if name in state and name not in divided}
        self._module.load_state_dict(others, strict=False)


def _shape(state: Mapping[str, Any], name: str) -> torch.Size | None:
    """Return a value's shape, where possible without reading it."""
    outline = state.outline(name) if isinstance(state, SavedState) else state[name]
    return outline.shape if isinstance(outline, Tensor) else None


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


@torch.no_grad()
def _gathered_for(parameter: Any, owner: int | None) -> Tensor | None:
    """Return a divided parameter that no optimizer steps."""
    mine = owner in (None, dist.get_rank())
    if gathered(parameter):
        return parameter.detach().cpu() if mine else None
    from deepspeed.runtime.zero import GatheredParameters

    with GatheredParameters([parameter]):
        return parameter.detach().to("cpu", copy=True) if mine else None
