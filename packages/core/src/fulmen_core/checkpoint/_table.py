"""The table of a checkpoint directory: which tensors there are, and in which files their parts lie."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, EnumMeta
from typing import IO, Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from fulmen_core.checkpoint._failures import damaged
from fulmen_core.checkpoint._integrity import damaged_record
from fulmen_core.checkpoint._layout import META_FILE, TABLE_FILE
from fulmen_core.checkpoint._places import Folder
from fulmen_interfaces import CheckpointError

_SAFE_MODULES = {"torch.distributed.checkpoint.metadata"}
_SAFE_NAMES = {
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.distributed.checkpoint.filesystem", "StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
}


@dataclass(frozen=True)
class Slice:
    """Where in a directory one part of a tensor lies."""

    file: str
    offset: int
    length: int


def read_table(folder: Folder) -> Metadata:
    """Return the table of a complete checkpoint directory; no code of it runs.

    Raises CheckpointError where a file is missing or too short: then the directory was never finished, or only a part
    of it was copied.
    """
    names = folder.sizes()
    missing = [name for name in (TABLE_FILE, META_FILE) if name not in names]
    if len(missing) == 2:
        raise CheckpointError(
            f"The checkpoint {folder.path} cannot be read: it is a directory, but no checkpoint, for it has neither "
            f"{TABLE_FILE} nor {META_FILE}. Give the path of a file, or of a directory that `save_checkpoint` wrote.",
            folder.path,
        )
    if missing:
        raise _incomplete(folder, missing)
    with folder.open(TABLE_FILE) as file:
        table = _Unpickler(file).load()
    if not isinstance(table, Metadata):
        raise CheckpointError(
            f"The checkpoint {folder.path} cannot be read: its {TABLE_FILE} holds a {type(table).__name__}. "
            "Use another checkpoint, or a copy of this one.",
            folder.path,
        )
    _check_files(folder, names, slices_of(table))
    return table


def slices_of(table: Metadata) -> list[Slice]:
    """Return where all parts lie, in an order that is the same in every process."""
    slices = [Slice(one.relative_path, one.offset, one.length) for one in (table.storage_data or {}).values()]
    return sorted(slices, key=lambda one: (one.file, one.offset))


def outlines_of(table: Metadata) -> dict[str, Tensor]:
    """Return shape and type of every tensor, as tensors on the meta device."""
    return {
        name: torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
        for name, entry in table.state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def check_content(folder: Folder, slices: Iterable[Slice]) -> None:
    """Compare checksums. Raises CheckpointError where a part's content has changed since it was written."""
    for one in slices:
        with folder.open(one.file) as file:
            file.seek(one.offset)
            part = io.BytesIO(file.read(one.length))
        record = damaged_record(part)
        if record is not None:
            raise damaged(folder.path, f"{record} of {one.file}")


def _check_files(folder: Folder, sizes: Mapping[str, int], slices: Iterable[Slice]) -> None:
    needed: dict[str, int] = {}
    for one in slices:
        needed[one.file] = max(needed.get(one.file, 0), one.offset + one.length)
    absent = [name for name in needed if name not in sizes]
    short = [name for name, end in needed.items() if sizes.get(name, end) < end]
    if absent or short:
        raise _incomplete(folder, absent + [f"the end of {name}" for name in short])


def _incomplete(folder: Folder, missing: Iterable[str]) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {folder.path} cannot be read: the directory is incomplete, it lacks {', '.join(missing)}. "
        "Use another checkpoint, or copy the whole directory again. With several machines, all must write to storage "
        "that they share.",
        folder.path,
    )


class _Unpickler(pickle.Unpickler):
    """Reads tables, and refuses whatever is no part of one."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of torch's tables, or one of torch's types."""
        if module in _SAFE_MODULES or (module, name) in _SAFE_NAMES:
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), (torch.dtype, torch.layout)):
            return getattr(torch, name)
        if (module, name) == ("builtins", "getattr"):  # how Python 3.11.0 to 3.11.3 write members of an enum
            return _member
        raise pickle.UnpicklingError(f"{TABLE_FILE} refers to {module}.{name}, which no table of torch's does")


def _member(kind: Any, name: str) -> Enum:
    if isinstance(kind, EnumMeta):
        return kind[name]
    raise pickle.UnpicklingError(f"{TABLE_FILE} refers to {kind!r}.{name}, which is no member of an enum")
