"""Checkpoints written while training goes on."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, final

from torch import Tensor
from torch.utils._pytree import tree_map_only

from fulmen_core.checkpoint._io import MapLocation, TorchCheckpointIO
from fulmen_interfaces import CheckpointIO


@final
class AsyncCheckpointIO:
    """Copies a checkpoint to the host's memory and writes it in a thread, one after the other.

    `Trainer(plugins=[AsyncCheckpointIO()])`. An error of writing is raised by the next `save`, `load` or `remove`, or
    at the end of the run. The copy needs as much memory as the checkpoint. Directories of several processes
    (`state_dict_type="sharded"`) are written at once, because all must agree when they are done.

    Args:
        checkpoint_io: what writes and reads; by default files of `torch.save`.
    """

    def __init__(self, checkpoint_io: CheckpointIO | None = None) -> None:
        self.wrapped: CheckpointIO = checkpoint_io or TorchCheckpointIO()
        self._thread: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []

    def save(self, checkpoint: Mapping[str, Any], path: str, *, storage_options: Any = None) -> None:
        """Begin to write. Raises what went wrong with those before."""
        self._raise_failures()
        copy = tree_map_only(Tensor, _copied, dict(checkpoint))
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        work = contextvars.copy_context().run
        self._pending.append(self._thread.submit(work, self.wrapped.save, copy, path, storage_options=storage_options))

    def load(self, path: str, *, map_location: MapLocation = None, weights_only: bool = True) -> dict[str, Any]:
        """Read a checkpoint, once all are written."""
        self.wait()
        return self.wrapped.load(path, map_location=map_location, weights_only=weights_only)

    def remove(self, path: str) -> None:
        """Remove a checkpoint, once all are written."""
        self.wait()
        self.wrapped.remove(path)

    def wait(self) -> None:
        """Return when everything is written. Raises what went wrong first."""
        pending, self._pending = self._pending, []
        failures = [error for one in pending if (error := one.exception()) is not None]
        if failures:
            raise failures[0]

    def teardown(self) -> None:
        """Finish what is being written."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()
        self.wait()
        self.wrapped.teardown()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the thread behind: another process starts its own."""
        return {**vars(self), "_thread": None, "_pending": []}

    def _raise_failures(self) -> None:
        done = [one for one in self._pending if one.done()]
        self._pending = [one for one in self._pending if not one.done()]
        for one in done:
            one.result()


def _copied(tensor: Tensor) -> Tensor:
    """Return the tensor in memory that nobody else writes to."""
    detached = tensor.detach()
    return detached.clone() if detached.device.type == "cpu" else detached.cpu()
