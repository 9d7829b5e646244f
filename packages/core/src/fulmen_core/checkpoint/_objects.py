"""`load_from_checkpoint`: modules and data modules made again from files."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import IO, Any, Protocol, TypeVar

import torch

from fulmen_core.checkpoint._directories import open_checkpoint
from fulmen_core.checkpoint._io import MapLocation, TorchCheckpointIO, load_stream
from fulmen_core.checkpoint._saved import StoredState
from fulmen_core.hparams import DATAMODULE_KEYS, MODULE_KEYS, HparamsKeys, load_hparams, make_again
from fulmen_interfaces import CheckpointError, rank_zero_warn

CheckpointSource = str | PathLike[str] | IO[bytes]
"""A path, an address, or an open file."""


class LoadableModule(Protocol):
    """What `load_module` needs of a module."""

    @property
    def strict_loading(self) -> bool:
        """Whether weights must fit exactly where the caller does not say."""
        ...

    def configure_model(self) -> None:
        """Make what is not made in `__init__`."""
        ...

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See, and perhaps alter, the checkpoint."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        """Take weights."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move to a device."""
        ...


class LoadableDataModule(Protocol):
    """What `load_datamodule` needs of a data module."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what its `state_dict` returned."""
        ...


M = TypeVar("M", bound=LoadableModule)
D = TypeVar("D", bound=LoadableDataModule)


def load_module(
    cls: type[M],
    source: CheckpointSource,
    *,
    map_location: MapLocation = None,
    hparams_file: str | PathLike[str] | None = None,
    strict: bool | None = None,
    weights_only: bool | None = None,
    overrides: Mapping[str, Any],
) -> M:
    """Make a module with a checkpoint's hyper-parameters and give it its weights."""
    checkpoint, path = _read(source, map_location, weights_only)
    made = make_again(cls, _with_file(checkpoint, MODULE_KEYS, hparams_file), MODULE_KEYS, overrides, path=path)
    made.configure_model()
    made.on_load_checkpoint(checkpoint)
    weights = checkpoint.get("state_dict")
    if weights is None:
        raise CheckpointError(
            f"{cls.__name__} cannot be loaded from {path}: it has no `state_dict`, "
            f"only {', '.join(map(str, checkpoint))}. "
            f'For a file of bare weights, use `{cls.__name__}(...).load_state_dict(torch.load("{path}"))`.',
            path,
        )
    if isinstance(weights, StoredState):
        weights = _placed(weights.whole(), map_location)
    strict = made.strict_loading if strict is None else strict
    mismatch = made.load_state_dict(weights, strict=strict)
    if not strict and mismatch is not None:
        _report(mismatch.missing_keys, f"{path} lacks these weights of {cls.__name__}, which stay as they were made")
        _report(mismatch.unexpected_keys, f"{path} holds these weights, for which {cls.__name__} has no place")
    device = next((one.device for one in weights.values() if isinstance(one, torch.Tensor)), None)
    return made if device is None else _moved(made, device)


def load_datamodule(
    cls: type[D],
    source: CheckpointSource,
    *,
    map_location: MapLocation = None,
    hparams_file: str | PathLike[str] | None = None,
    weights_only: bool | None = None,
    overrides: Mapping[str, Any],
) -> D:
    """Make a data module with a checkpoint's hyper-parameters and give it its state."""
    checkpoint, path = _read(source, map_location, weights_only)
    made = make_again(cls, _with_file(checkpoint, DATAMODULE_KEYS, hparams_file), DATAMODULE_KEYS, overrides, path=path)
    state = checkpoint.get(cls.__qualname__)
    if state is not None:
        made.load_state_dict(state)
    return made


def _read(source: CheckpointSource, map_location: MapLocation, weights_only: bool | None) -> tuple[dict[str, Any], str]:
    safely = True if weights_only is None else weights_only
    if isinstance(source, (str, PathLike)):
        path = fspath(source)
        io = TorchCheckpointIO()
        return open_checkpoint(path, io, map_location=map_location, weights_only=safely), path
    checkpoint = load_stream(source, map_location=map_location, weights_only=safely)
    return checkpoint, str(getattr(source, "name", source))


def _with_file(
    checkpoint: dict[str, Any], keys: HparamsKeys, hparams_file: str | PathLike[str] | None
) -> dict[str, Any]:
    """Return the checkpoint with the file's hyper-parameters in place of its own."""
    if hparams_file is None:
        return checkpoint
    return {**checkpoint, keys.values: load_hparams(hparams_file), keys.notes: ()}


def _report(names: list[str], what: str) -> None:
    if names:
        rank_zero_warn(f"{what}: {', '.join(names)}. Load with `strict=True` to make that an error.")


def _placed(weights: dict[str, Any], map_location: MapLocation) -> dict[str, Any]:
    """Return weights on the device that was asked for, where it is one device."""
    if not isinstance(map_location, (str, torch.device)):
        return weights
    return {name: one.to(map_location) if isinstance(one, torch.Tensor) else one for name, one in weights.items()}


def _moved(made: M, device: torch.device) -> M:
    made.to(device)
    return made
