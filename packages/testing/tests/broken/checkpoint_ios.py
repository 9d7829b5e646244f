"""Ways to write checkpoints with one defect each, and the test that must find it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from fulmen_interfaces import CheckpointError, CheckpointIOSpec
from fulmen_testing import CheckpointIOConformance


class Sound:
    def save(self, checkpoint: Any, path: str, *, storage_options: Any = None) -> None:
        temporary = f"{path}.tmp"
        try:
            torch.save(checkpoint, temporary)
        except Exception:
            os.unlink(temporary)
            raise
        os.replace(temporary, path)

    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=weights_only)
        except Exception as error:
            raise CheckpointError(f"{path}: {error}", path) from error
        return loaded

    def remove(self, path: str) -> None:
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

    def teardown(self) -> None:
        pass


class WritesInPlace(Sound):
    def save(self, checkpoint: Any, path: str, *, storage_options: Any = None) -> None:
        torch.save(checkpoint, path)


class LeavesTheTemporary(Sound):
    def save(self, checkpoint: Any, path: str, *, storage_options: Any = None) -> None:
        torch.save(checkpoint, f"{path}.tmp")
        shutil.copy(f"{path}.tmp", path)


class LosesTypes(Sound):
    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        loaded = super().load(path, map_location=map_location, weights_only=weights_only)
        return {key: value.float() if isinstance(value, torch.Tensor) else value for key, value in loaded.items()}


class LetsErrorsThrough(Sound):
    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=weights_only)
        return loaded


class TrustsEverything(Sound):
    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        return super().load(path, map_location=map_location, weights_only=False)


class IgnoresThePlace(Sound):
    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        return super().load(path, weights_only=weights_only)


class RemovesFilesAlone(Sound):
    def remove(self, path: str) -> None:
        Path(path).unlink()


class EndsOnce(Sound):
    ended = False

    def teardown(self) -> None:
        if self.ended:
            raise RuntimeError("ended already")
        self.ended = True


FOUND_BY = {
    Sound: "",
    WritesInPlace: "test_failed_writing_leaves_what_was_there",
    LeavesTheTemporary: "test_later_writing_replaces",
    LosesTypes: "test_reads_what_was_written",
    LetsErrorsThrough: "test_damaged_file_is_named",
    TrustsEverything: "test_objects_are_unpickled_on_request_only",
    IgnoresThePlace: "test_tensors_go_where_they_are_asked",
    RemovesFilesAlone: "test_removes_files_and_directories",
    EndsOnce: "test_teardown_may_come_twice",
}

for broken in FOUND_BY:
    name = f"Test{broken.__name__}"
    spec = CheckpointIOSpec(name="broken", create=broken, summary="Broken.")
    globals()[name] = type(name, (CheckpointIOConformance,), {"spec": spec, "__module__": __name__})
EXPECTED = {f"Test{broken.__name__}": test for broken, test in FOUND_BY.items()}
