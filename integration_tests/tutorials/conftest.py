"""The programs of this folder as modules: as they stand, or with Lightning in the place of fulmen."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROGRAMS = Path(__file__).parent / "programs"
_numbers = itertools.count()

Load = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs write where they are started; each starts in a folder of its own, with one thread."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """`load("gan")` imports `programs/gan.py`; `load("gan", "lightning.pytorch")` with only its imports changed."""
    names: list[str] = []

    def load(name: str, package: str = "fulmen") -> ModuleType:
        file = PROGRAMS / f"{name}.py"
        if package != "fulmen":
            text = file.read_text().replace("import fulmen as L", f"import {package} as L")
            file = tmp_path_factory.mktemp("rewritten") / file.name
            file.write_text(text.replace("from fulmen.", f"from {package}."))
        names.append(f"{name}_{next(_numbers)}")
        spec = importlib.util.spec_from_file_location(names[-1], file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[names[-1]] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        del sys.modules[name]


@pytest.fixture
def rows() -> Callable[[str | Path], list[dict[str, float]]]:
    """Read a metrics.csv: a dict per row, without the empty fields."""

    def read(folder: str | Path) -> list[dict[str, float]]:
        with open(Path(folder) / "metrics.csv", newline="") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]

    return read
