"""Checkpoints as files of `torch.save`, on this machine or wherever fsspec reaches."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import torch

from fulmen_core.checkpoint._failures import damaged, reading, removing, writing
from fulmen_core.checkpoint._file import whole_file
from fulmen_core.checkpoint._integrity import damaged_record
from fulmen_core.checkpoint._places import file_system, is_directory, is_remote, is_web, local_path
from fulmen_core.checkpoint._replace import remove_tree
from fulmen_core.checkpoint._stream import StreamedFile
from fulmen_interfaces import CheckpointError, World

MapLocation = Any
"""Whatever `torch.load` takes: a device, its name, a mapping of names, or a function."""


class TorchCheckpointIO:
    """Writes and reads checkpoints with `torch.save` and `torch.load`.

    A local file is streamed into a temporary one beside it, brought to disk and renamed; a kill at any moment leaves
    the earlier file or the new one. A path with a scheme (`s3://`, `memory://`) goes through fsspec.
    """

    def __init__(self, *, verify: bool = True) -> None:
        """With `verify`, a local file's checksums are compared before it is loaded, which takes about 0.3 s per GB."""
        self._verify = verify

    def save(self, checkpoint: Mapping[str, Any], path: str, *, storage_options: Any = None) -> None:
        """Write a checkpoint; directories are made where they are absent.

        `storage_options` is a mapping of arguments of the fsspec file system; a local file takes none.
        """
        if is_remote(path):
            with writing(path, checkpoint):
                _save_remote(checkpoint, path, storage_options)
        elif storage_options:
            raise CheckpointError(
                f"{path} was to be written with storage_options={storage_options!r}, but a local file takes none. "
                "Leave them out, or give a path with a scheme, such as s3://bucket/name.ckpt.",
                path,
            )
        else:
            with writing(path, checkpoint), whole_file(Path(local_path(path))) as file:
                _save_local(checkpoint, file)

    def load(self, path: str, *, map_location: MapLocation = None, weights_only: bool = True) -> dict[str, Any]:
        """Read a checkpoint. With `weights_only` nothing but tensors and plain values is read, and no code runs.

        Without `map_location`, tensors come back on the devices that they were on where this machine has them, else on
        the CPU. A directory that several processes wrote is read whole, into the host's memory.
        """
        if is_directory(path):
            return self._load_directory(path, weights_only)
        location = map_location or present_devices
        with reading(path):
            if is_web(path):
                return _checked(_load_web(path, location, weights_only), path)
            if self._verify and not is_remote(path):
                record = damaged_record(local_path(path))
                if record is not None:
                    raise damaged(path, record)
            with _opened(path) as file:
                return _checked(torch.load(file, map_location=location, weights_only=weights_only), path)

    def remove(self, path: str) -> None:
        """Remove a file or directory; one that is already gone is no error."""
        with removing(path):
            if is_remote(path):
                _remove_remote(path)
            else:
                remove_tree(Path(local_path(path)))

    def teardown(self) -> None:
        """Do nothing: what was saved is on disk when `save` returns."""

    def _load_directory(self, path: str, weights_only: bool) -> dict[str, Any]:
        from fulmen_core.checkpoint._sharded import load_sharded, read_whole  # with torch.distributed.checkpoint

        return read_whole(load_sharded(path, checkpoint_io=self, weights_only=weights_only, world=World()))


def load_stream(stream: IO[bytes], *, map_location: MapLocation = None, weights_only: bool = True) -> dict[str, Any]:
    """Read a checkpoint from an open file, or whatever else can be read and searched."""
    name = str(getattr(stream, "name", stream))
    with reading(name):
        loaded = torch.load(stream, map_location=map_location or present_devices, weights_only=weights_only)
        return _checked(loaded, name)


def present_devices(storage: Any, location: str) -> Any:
    """Keep a tensor on its device where this machine has it, else on the CPU: a `map_location` for `torch.load`."""
    try:
        return torch.serialization.default_restore_location(storage, location)  # type: ignore[no-untyped-call]
    except RuntimeError:
        return storage


def _checked(loaded: Any, path: str) -> dict[str, Any]:
    if isinstance(loaded, dict):
        return loaded
    raise CheckpointError(
        f"{path} holds a {type(loaded).__name__}, which is no checkpoint. "
        "Give a file that holds a dict, as `trainer.save_checkpoint` writes it.",
        path,
    )


def _save_local(checkpoint: Mapping[str, Any], file: StreamedFile) -> None:
    try:
        torch.save(dict(checkpoint), cast(IO[bytes], file))  # it calls write and flush only
    except Exception:
        if file.error is not None:
            raise file.error from None  # torch reports a full disk as a position that it did not expect
        raise


def _save_remote(checkpoint: Mapping[str, Any], path: str, storage_options: Any) -> None:
    system, target = file_system(path, **(storage_options or {}))
    parent, _, name = target.rpartition("/")
    temporary = f"{parent}/.{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    system.makedirs(parent, exist_ok=True)
    try:
        with system.open(temporary, "wb") as file:
            torch.save(dict(checkpoint), file)
        system.mv(temporary, target)
    except BaseException:
        with suppress(Exception):  # the first error is the one to be told
            system.rm_file(temporary)
        raise


def _load_web(url: str, location: MapLocation, weights_only: bool) -> Any:
    return torch.hub.load_state_dict_from_url(url, map_location=location, progress=False, weights_only=weights_only)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if is_remote(path):
        system, place = file_system(path)
        with system.open(place, "rb") as file:
            yield file
    else:
        with Path(local_path(path)).open("rb") as file:
            yield file


def _remove_remote(path: str) -> None:
    system, place = file_system(path)
    if system.exists(place):
        system.rm(place, recursive=True)
