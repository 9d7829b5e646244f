"""Where loggers that write into folders write, and which version comes next."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from fulmen_interfaces import FolderLogger, version_folder


class Written(FolderLogger):
    """A logger whose folders are those of this machine."""

    def __init__(self, save_dir: Path, name: str | None = "exp", version: int | str | None = None) -> None:
        super().__init__(save_dir, name, version, folders=folders)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...


def folders(path: str) -> list[str]:
    return [entry.name for entry in os.scandir(path) if entry.is_dir()] if os.path.isdir(path) else []


@pytest.mark.parametrize(
    ("name", "version", "place"),
    [("exp", 3, "exp/version_3"), ("exp", "blue", "exp/blue"), (None, 3, "version_3"), ("", "blue", "blue")],
)
def test_a_version_has_a_folder_of_its_own(name: str | None, version: int | str, place: str, tmp_path: Path) -> None:
    logger = Written(tmp_path, name, version)
    assert logger.log_dir == str(tmp_path / place)
    assert logger.root_dir == str((tmp_path / place).parent)
    assert (logger.save_dir, logger.name, logger.version) == (str(tmp_path), name or "", version)


def test_the_first_free_number_is_taken_when_it_is_asked_for(tmp_path: Path) -> None:
    logger = Written(tmp_path)
    for number in (0, 1, 7):
        (tmp_path / "exp" / f"version_{number}").mkdir(parents=True)
    (tmp_path / "exp" / "version_12.bak").mkdir()
    (tmp_path / "exp" / "version_99").touch()
    assert logger.version == 8
    (tmp_path / "exp" / "version_8").mkdir()
    assert logger.version == 8, "what was taken once stays"
    assert Written(tmp_path, "another").version == 0


def test_a_copy_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    logger = Written(tmp_path)
    assert logger.version == 0
    (tmp_path / "exp" / "version_0").mkdir(parents=True)
    copy: Written = pickle.loads(pickle.dumps(logger))
    assert copy.log_dir == logger.log_dir


def test_only_numbers_have_a_word_before_them() -> None:
    assert [version_folder(one) for one in (0, 12, "12")] == ["version_0", "version_12", "12"]
