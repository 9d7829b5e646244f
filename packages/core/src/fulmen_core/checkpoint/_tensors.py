"""Tensors in a checkpoint directory, by way of torch.distributed.checkpoint."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, final

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from fulmen_core.checkpoint._failures import reading
from fulmen_core.checkpoint._places import Folder, is_remote, local_path
from fulmen_core.checkpoint._table import outlines_of

_ALONE: dict[str, Any] = {"no_dist": True} if "no_dist" in inspect.signature(load).parameters else {}
"""How a process reads for itself; with torch 2.6 those that are joined read together, in the same order."""


class StoredTensors:
    """The tensors of one directory. Each process reads for itself; nothing is shared with others."""

    def __init__(self, folder: Folder, table: Metadata) -> None:
        self.outlines = outlines_of(table)
        """Their shapes and types, by name."""
        self._folder = folder
        self._table = table

    @cached_property
    def _reader(self) -> FileSystemReader:
        path = self._folder.path
        if not is_remote(path):
            return _Reader(local_path(path), self._table)
        from fulmen_core.checkpoint._remote import RemoteReader

        return RemoteReader(path, self._table)

    def read(self, into: Mapping[str, Tensor]) -> None:
        """Fill tensors, whole ones or DTensors, with those stored under their names."""
        if not into:
            return
        planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
        with reading(self._folder.path), first_cause(), _alone_on_purpose():
            load(dict(into), storage_reader=self._reader, planner=planner, **_ALONE)


def write_tensors(path: str, tensors: Mapping[str, Any], storage_options: Mapping[str, Any]) -> None:
    """Write tensors, by nested names, into a new directory. On all ranks; a tensor that several have is written once.

    When it returns, all of them have written, and what they wrote is on disk.
    """
    if is_remote(path):
        from fulmen_core.checkpoint._remote import remote_writer

        writer = remote_writer(path, storage_options)
    else:
        writer = FileSystemWriter(local_path(path))
    with first_cause(), _alone_on_purpose():
        save(dict(tensors), storage_writer=writer)


@contextmanager
def first_cause() -> Iterator[None]:
    """Raise the first rank's own error in place of torch's collection of them."""
    try:
        yield
    except CheckpointException as collected:
        rank = min(collected.failures)
        error = collected.failures[rank][0]
        raise error from collected


@contextmanager
def _alone_on_purpose() -> Iterator[None]:
    """Leave out torch's warning that no other process takes part."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


@final
class _Reader(FileSystemReader):
    """Reads by a table that is known: torch would unpickle it anew each time, with whatever code is in it."""

    def __init__(self, path: str, table: Metadata) -> None:
        super().__init__(path)
        self._table = table

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the table."""
        return self._table
