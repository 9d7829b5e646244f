"""The user's state as a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from torch import nn

from fulmen_core.checkpoint import StoredOptimizer, StoredState
from fulmen_core.fabric._model import SetUpModel
from fulmen_core.fabric._module import FabricModule
from fulmen_core.fabric._optimizer import FabricOptimizer
from fulmen_core.fabric._session import FabricSession
from fulmen_core.snapshot import SCALER_KEY, load_optimizer, load_weights, sharded
from fulmen_interfaces import (
    CheckpointError,
    ConfigurationError,
    Problem,
)

Filter = Callable[[str, Any], bool]

_NAMES_KEY = "fabric"
"""In a directory: under which keys of the user's state the model and the optimizers were given."""
_MODEL, _OPTIMIZERS = "state_dict", "optimizer_states"
"""Where a directory holds them."""


def writes_directory(state: Mapping[str, Any]) -> bool:
    """Return whether a strategy wants what it prepared to be written in parts, by all ranks."""
    return any(sharded(model.prepared) is not None for model in _models(state))


def dump_state(state: Mapping[str, Any], filters: Mapping[str, Filter]) -> dict[str, Any]:
    """Return plain values: states in place of what has one. Call it on all ranks; the result is whole on rank zero."""
    _check_filters(state, filters)
    dumped = {name: _filtered(_state_of(value), filters.get(name)) for name, value in state.items()}
    if any(isinstance(value, FabricOptimizer) for value in state.values()) and SCALER_KEY not in dumped:
        scaler = next((found for model in _models(state) if (found := model.prepared.scaler_state_dict())), None)
        if scaler:
            dumped[SCALER_KEY] = scaler
    return dumped


def as_directory(dumped: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return dumped state with model and optimizers where a directory has them."""
    models = [name for name, value in state.items() if isinstance(value, FabricModule)]
    optimizers = [name for name, value in state.items() if isinstance(value, FabricOptimizer)]
    if len(models) > 1:
        reason = f"A directory that all ranks write together holds one model, and these are {', '.join(models)}."
        raise ConfigurationError([Problem("state", models, reason, "Save each model under a path of its own.")])
    rest = {name: value for name, value in dumped.items() if name not in (*models, *optimizers)}
    for name in (_MODEL, _OPTIMIZERS, _NAMES_KEY):
        if name in rest:
            reason = f"In a directory, {name!r} is where states of models and optimizers are."
            raise ConfigurationError([Problem("state", name, reason, "Give it another name.")])
    rest[_NAMES_KEY] = {"models": models, "optimizers": optimizers}
    if models:
        rest[_MODEL] = dumped[models[0]]
    if optimizers:
        rest[_OPTIMIZERS] = [dumped[name] for name in optimizers]
    return rest


def under_own_names(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with what a directory holds under the names that the user gave."""
    names = checkpoint.get(_NAMES_KEY)
    if not isinstance(names, Mapping) or set(names) != {"models", "optimizers"}:
        return checkpoint
    own = {key: value for key, value in checkpoint.items() if key not in (_MODEL, _OPTIMIZERS, _NAMES_KEY)}
    own |= dict.fromkeys(names["models"], checkpoint[_MODEL])
    return own | dict(zip(names["optimizers"], checkpoint.get(_OPTIMIZERS, ()), strict=False))


def restore_state(state: MutableMapping[str, Any], checkpoint: dict[str, Any], path: str, *, strict: bool) -> None:
    """Load what the checkpoint holds into the objects of `state`, put other values there, and take both out of it."""
    missing = [name for name in state if name not in checkpoint]
    if missing and strict:
        raise CheckpointError(
            f"{', '.join(map(repr, missing))} was to be loaded from {path}, which has only "
            f"{', '.join(map(repr, checkpoint)) or 'nothing'}. Take it out of the state, or pass strict=False.",
            path,
        )
    for name in [name for name in state if name in checkpoint]:
        value = checkpoint.pop(name)
        if not load_into(state[name], value, path, strict=strict):
            state[name] = value


def restore_scaler(session: FabricSession, checkpoint: dict[str, Any]) -> None:
    """Let loss scaling go on from where it was, and take its state out of the checkpoint."""
    if session.precision.policy.loss_scaling and session.models and isinstance(checkpoint.get(SCALER_KEY), Mapping):
        state = checkpoint.pop(SCALER_KEY)
        for model in session.models:
            model.prepared.load_scaler_state_dict(state)


def load_into(target: Any, value: Any, path: str, *, strict: bool) -> bool:
    """Load a state into an object; return whether it takes one. Raises CheckpointError where the state does not fit."""
    try:
        if isinstance(target, FabricModule):
            load_weights(target.set_up_model.prepared, value, strict=strict)
        elif isinstance(target, FabricOptimizer):
            load_optimizer(target.set_up_model.prepared, target.optimizer, value)
        elif isinstance(target, nn.Module):
            target.load_state_dict(_whole(value), strict=strict)
        elif callable(getattr(target, "load_state_dict", None)):
            target.load_state_dict(_whole(value))
        else:
            return False
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        name = type(target.module if isinstance(target, FabricModule) else target).__name__
        reason = " ".join(str(error).split()).rstrip(" .")
        raise CheckpointError(
            f"What {path} holds does not fit {name}: {reason}. Give the object that it was saved from, made as it was "
            "then" + (", or pass strict=False where only names differ." if isinstance(target, nn.Module) else "."),
            path,
        ) from error
    return True


def _whole(state: Any) -> Any:
    return state.whole() if isinstance(state, (StoredState, StoredOptimizer)) else state


def _state_of(value: Any) -> Any:
    if isinstance(value, FabricModule):
        prepared = value.set_up_model.prepared
        parted = sharded(prepared)
        return prepared.model_state_dict() if parted is None else parted.sharded_model_state()
    if isinstance(value, FabricOptimizer):
        prepared = value.set_up_model.prepared
        parted = sharded(prepared)
        state_of = prepared.optimizer_state_dict if parted is None else parted.sharded_optimizer_state
        return state_of(value.optimizer)
    state_dict = getattr(value, "state_dict", None)
    return state_dict() if callable(state_dict) else value


def _models(state: Mapping[str, Any]) -> list[SetUpModel]:
    return [value.set_up_model for value in state.values() if isinstance(value, (FabricModule, FabricOptimizer))]


def _filtered(state: Any, keep: Filter | None) -> Any:
    return state if keep is None else {name: value for name, value in state.items() if keep(name, value)}


def _check_filters(state: Mapping[str, Any], filters: Mapping[str, Filter]) -> None:
    for name, keep in filters.items():
        if name not in state:
            reason, remedy = f"The state has no {name!r}.", f"It has {', '.join(map(repr, state)) or 'nothing'}."
            raise ConfigurationError([Problem("filter", name, reason, remedy)])
        if not callable(keep):
            reason, remedy = "It cannot be called.", "Give a function of a name and a value that returns a bool."
            raise ConfigurationError([Problem("filter", keep, reason, remedy)])
