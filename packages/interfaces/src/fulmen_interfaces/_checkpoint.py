"""Where checkpoints are written to and read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class CheckpointIO(Protocol):
    """Writes and reads whole checkpoints. Called on the ranks that have something to write: zero for plain files."""

    def save(self, checkpoint: Mapping[str, Any], path: str, *, storage_options: Any = None) -> None:
        """Write so that `path` holds either what was there before or the whole checkpoint, never a part.

        Raises CheckpointError with the path and the system's reason.
        """
        ...

    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        """Read a checkpoint. Raises CheckpointError where it is absent, damaged, or holds what may not be unpickled."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file or directory; one that is already gone is no error."""
        ...

    def teardown(self) -> None:
        """Finish what is still being written. Called at the end of every run."""
        ...
