"""Checkpoint directories wherever fsspec reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata


def remote_writer(path: str, storage_options: Mapping[str, Any]) -> FileSystemWriter:
    """Return what writes tensors there; the arguments are those of the fsspec file system."""
    return FsspecWriter(path, sync_files=False, **storage_options)


@final
class RemoteReader(FsspecReader):
    """Reads by a table that is known."""

    def __init__(self, path: str, table: Metadata) -> None:
        super().__init__(path)
        self._table = table

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the table."""
        return self._table
