"""What every way to write checkpoints must do."""
# ruff: noqa: S101

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from fulmen_interfaces import CHECKPOINT_IO, CheckpointError, CheckpointIO, CheckpointIOSpec
from fulmen_testing.conformance._base import Conformance


class Unsafe:
    """An object that may not be unpickled in safe mode."""


class Unwritable:
    """An object that cannot be written."""

    def __reduce__(self) -> str:
        raise ValueError("it cannot be written")


class CheckpointIOConformance(Conformance):
    """Writes and reads small checkpoints in a temporary directory."""

    role = CHECKPOINT_IO
    spec: ClassVar[CheckpointIOSpec]

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        """Where a checkpoint is written; override it to try another kind of place."""
        return str(tmp_path / "some.ckpt")

    def test_implements_the_contract(self, plugin: Any) -> None:
        """If it fails: compare the methods with those of `CheckpointIO`."""
        assert isinstance(plugin, CheckpointIO)

    def test_reads_what_was_written(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: every value and tensor must come back as it was, with the same type."""
        plugin.save(checkpoint(1.5), path)
        plugin.teardown()
        loaded = plugin.load(path)
        assert loaded["epoch"] == 3
        assert loaded["nested"] == {"list": [1, "two", None]}
        assert torch.equal(loaded["weights"], torch.full((3,), 1.5))
        assert loaded["half"].dtype is torch.bfloat16

    def test_later_writing_replaces(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: the same path must hold the last checkpoint, and nothing must lie beside it."""
        plugin.save(checkpoint(1.0), path)
        plugin.save(checkpoint(2.0), path)
        plugin.teardown()
        assert float(plugin.load(path)["weights"][0]) == 2.0
        assert [one.name for one in Path(path).parent.iterdir()] == [Path(path).name]

    def test_failed_writing_leaves_what_was_there(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: write beside the target and rename once all is on the disk; clear up where writing fails."""
        plugin.save(checkpoint(1.0), path)
        with pytest.raises(Exception, match="cannot be written"):
            save_and_wait(plugin, {**checkpoint(2.0), "bad": Unwritable()}, path)
        assert float(plugin.load(path)["weights"][0]) == 1.0
        assert [one.name for one in Path(path).parent.iterdir()] == [Path(path).name]

    def test_absent_file_is_named(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: raise CheckpointError with the path."""
        with pytest.raises(CheckpointError, match=r"some\.ckpt") as error:
            plugin.load(path)
        assert error.value.path == path

    def test_damaged_file_is_named(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: what cannot be read must raise CheckpointError with the path, whatever is wrong inside."""
        plugin.save(checkpoint(1.0), path)
        plugin.teardown()
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match=r"some\.ckpt"):
            plugin.load(path)

    def test_objects_are_unpickled_on_request_only(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: by default nothing but tensors and plain values may be loaded, for loading can run code."""
        plugin.save({"object": Unsafe()}, path)
        plugin.teardown()
        with pytest.raises(CheckpointError):
            plugin.load(path)
        assert isinstance(plugin.load(path, weights_only=False)["object"], Unsafe)

    def test_tensors_go_where_they_are_asked(self, plugin: CheckpointIO, path: str) -> None:
        """If it fails: hand `map_location` on to torch."""
        plugin.save(checkpoint(1.0), path)
        plugin.teardown()
        assert plugin.load(path, map_location="meta")["weights"].device.type == "meta"

    def test_removes_files_and_directories(self, plugin: CheckpointIO, path: str, tmp_path: Path) -> None:
        """If it fails: `remove` takes a checkpoint away in either form; one that is already gone is no error."""
        plugin.save(checkpoint(1.0), path)
        plugin.teardown()
        directory = tmp_path / "sharded"
        directory.mkdir()
        (directory / "part").write_text("x")
        for one in (path, str(directory)):
            plugin.remove(one)
            plugin.remove(one)
        assert list(tmp_path.iterdir()) == []

    def test_teardown_may_come_twice(self, plugin: CheckpointIO) -> None:
        """If it fails: `teardown` ends every run, and one plugin may serve several."""
        plugin.teardown()
        plugin.teardown()


def checkpoint(value: float) -> dict[str, Any]:
    """Return a small checkpoint."""
    return {
        "epoch": 3,
        "nested": {"list": [1, "two", None]},
        "weights": torch.full((3,), value),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }


def save_and_wait(plugin: CheckpointIO, content: dict[str, Any], path: str) -> None:
    """Write, and finish also what is written later."""
    plugin.save(content, path)
    plugin.teardown()
