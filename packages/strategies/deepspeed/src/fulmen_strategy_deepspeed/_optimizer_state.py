"""The optimizer's state as a plain optimizer's `state_dict` has it, made of and put into ZeRO's flat tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fulmen_strategy_deepspeed._pieces import Pieces, shape_of
from fulmen_strategy_deepspeed._weights import Owner

Groups = Sequence[Sequence[nn.Parameter]]
"""The parameters by group, as the user's optimizer had them before ZeRO took their place."""


@final
class OptimizerState:
    """Reads and sets the states of the parameters that an optimizer was made for."""

    def __init__(self, pieces: Pieces, groups: Groups) -> None:
        self._pieces = pieces
        self.groups = groups
        self._numbers = {one: number for number, one in enumerate(one for group in groups for one in group)}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All of them, in the order of their numbers."""
        return list(self._numbers)

    def get(self, owner: Owner) -> dict[str, Any]:
        """Return the state; what belongs to a parameter is given to its owner only. Called on all ranks."""
        state: dict[int, dict[str, Any]] = {}
        for flat, parameters in self._pieces.groups:
            values = self._pieces.optimizer.state.get(flat, {})
            for parameter in parameters if values else ():
                number = self._numbers[parameter]
                own = self._of_one(parameter, values, owner(number))
                if own is not None:
                    state[number] = own
        return {"state": dict(sorted(state.items())), "param_groups": self._options()}

    def set(self, state: Mapping[str, Any]) -> None:
        """Set it from a whole state. ValueError where it belongs to other parameters or cannot be divided."""
        self._check_groups(state["param_groups"])
        values: Mapping[int, Mapping[str, Any]] = state["state"]
        made = [
            (flat, self._flat_states(flat, [(one, values.get(self._numbers[one], {})) for one in parameters]))
            for flat, parameters in self._pieces.groups
        ]
        for group, saved in zip(self._pieces.optimizer.param_groups, state["param_groups"], strict=True):
            group.update(_without_parameters(saved))
        for flat, states in made:
            self._replace(flat, states)

    def _of_one(self, parameter: nn.Parameter, values: Mapping[str, Any], owner: int) -> dict[str, Any] | None:
        flat, found = self._pieces.places[parameter].flat, {}
        mine = True
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == flat.shape:
                whole = self._pieces.whole(parameter, value, owner=owner)
                mine, found[key] = whole is not None, whole
            else:
                found[key] = value.clone() if isinstance(value, Tensor) else value
        return found if mine else None

    def _options(self) -> list[dict[str, Any]]:
        return [
            {**_without_parameters(options), "params": [self._numbers[one] for one in own]}
            for options, own in zip(self._pieces.optimizer.param_groups, self.groups, strict=True)
        ]

    def _check_groups(self, saved: Sequence[Mapping[str, Any]]) -> None:
        ours, theirs = [len(group) for group in self.groups], [len(group["params"]) for group in saved]
        if ours != theirs:
            raise ValueError(f"its groups have {ours} parameters, but {theirs} were saved")

    def _flat_states(
        self, flat: Tensor, saved: Sequence[tuple[nn.Parameter, Mapping[str, Any]]]
    ) -> dict[str, Any] | None:
        """Return the state of one flat tensor; None where nothing was saved for any of its parameters."""
        keys = list(dict.fromkeys(key for _, values in saved for key in values))
        if not keys:
            return None
        return {key: self._flat_state(flat, key, [(one, v[key]) for one, v in saved if key in v]) for key in keys}

    def _flat_state(self, flat: Tensor, key: str, saved: Sequence[tuple[nn.Parameter, Any]]) -> Any:
        if all(_is_of(value, one) for one, value in saved) and key != "step":
            made = torch.zeros_like(flat.detach())
            for parameter, value in saved:
                place = self._pieces.places[parameter]
                if place.count:
                    place.write(made, value)
            return made
        first = saved[0][1]
        if any(isinstance(value, Tensor) and value.ndim for _, value in saved):
            raise ValueError(f"its {key!r} has another shape than the parameter, so ZeRO cannot divide it")
        if any(value != first for _, value in saved):
            raise ValueError(f"its {key!r} differs between parameters, but ZeRO keeps one for all of a group")
        return self._as_stepped(key, first)

    def _as_stepped(self, key: str, value: Any) -> Any:
        """DeepSpeed's own optimizers count in whole numbers, torch's in tensors."""
        own = type(self._pieces.optimizer).__module__.startswith("deepspeed")
        if key != "step":
            return value.clone() if isinstance(value, Tensor) else value
        return int(value) if own else torch.tensor(float(value))

    def _replace(self, flat: Tensor, states: dict[str, Any] | None) -> None:
        present = self._pieces.optimizer.state
        if states is None:
            present.pop(flat, None)
            return
        target = present.setdefault(flat, {})
        for key in [key for key in target if key not in states]:
            del target[key]
        for key, value in states.items():
            held = target.get(key)
            if isinstance(held, Tensor) and isinstance(value, Tensor) and held.shape == value.shape and held.ndim:
                held.copy_(value)  # DeepSpeed's own functions hold views of it
            else:
                target[key] = value


def _without_parameters(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _is_of(value: Any, parameter: nn.Parameter) -> bool:
    return isinstance(value, Tensor) and value.shape == shape_of(parameter)
