"""What a library costs beside its steps: importing it, and the frames that stand in every traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from types import FrameType, ModuleType

from cases import Effort
from contenders import BARE, Library, UserModule, silence
from report import Row
from torch import Tensor
from workload import Batch, Clock, loader, network

IMPORT_REPEATS = 7
IMPORT_PROGRAM = """
import sys, torch
from time import perf_counter
modules, start = len(sys.modules), perf_counter()
import {name} as L
L.Trainer, L.LightningModule
print(perf_counter() - start, len(sys.modules) - modules)
"""


def measure_imports(found: Sequence[Library], effort: Effort) -> list[Row]:
    """Seconds and modules beyond `import torch`."""
    rows = []
    for library in found:
        seconds, modules = import_cost(library.name, min(effort.rounds, IMPORT_REPEATS))
        limit = "≤ 0.10 s, ≤ 80 modules" if library.name == "fulmen" else ""
        what = "import, beyond import torch"
        rows.append(Row("import", what, library.name, seconds, "s", limit=limit, beside=f"{modules} modules"))
    return rows


def measure_frames(found: Sequence[Library], effort: Effort) -> list[Row]:
    """Frames between `Trainer.fit` and `training_step`."""
    rows = []
    for library in found:
        own, total = frames(library)
        limit = "≤ 8" if library.name == "fulmen" else ""
        beside = f"{total} with torch's"
        rows.append(Row("frames", "from fit to training_step", library.name, own, "frames", limit=limit, beside=beside))
    return rows


def import_cost(name: str, repeats: int) -> tuple[float, int]:
    """Seconds and modules that a library adds to `import torch`, each time in a new process."""
    program = [sys.executable, "-c", IMPORT_PROGRAM.format(name=name)]
    runs = [subprocess.run(program, check=True, capture_output=True, text=True).stdout for _ in range(repeats + 1)]
    seconds, modules = zip(*(line.split() for line in runs[1:]), strict=True)  # the first run may compile
    return median(map(float, seconds)), max(map(int, modules))


class TracebackModule(UserModule):
    """Counts the frames that led to its step."""

    def __init__(self, package: ModuleType) -> None:
        super().__init__(Clock(2), network())
        self.package = package
        self.counts: list[tuple[int, int]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Count, then train."""
        self.counts.append(frames_since_fit(sys._getframe(1), folders_of(self.package.__name__)))
        return super().training_step(batch, batch_idx)


def frames(library: Library) -> tuple[int, int]:
    """Frames from `Trainer.fit` to `training_step`, neither counted: those of the library, and all."""
    module = library.module(TracebackModule, library.package)
    with silence():
        library.trainer(**BARE).fit(module, loader(2))
    if not isinstance(module, TracebackModule):
        raise TypeError(f"{library.name} trained something else than the module that was made for it")
    return module.counts[-1]


def frames_since_fit(frame: FrameType | None, folders: Sequence[Path]) -> tuple[int, int]:
    """Frames from this one up to the outermost `fit` of the library, the latter excluded: the library's, and all."""
    ours = total = 0
    result = (0, 0)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        own = any(folder in file.parents for folder in folders)
        if own and frame.f_code.co_name == "fit":
            result = ours, total
        ours, total = ours + own, total + 1
        frame = frame.f_back
    return result


def folders_of(name: str) -> list[Path]:
    """Where a library's imported distributions lie: `name` itself, and `name_something` beside it."""
    return [
        Path(module.__file__).parent
        for key, module in list(sys.modules.items())
        if (key == name or key.startswith(f"{name}_")) and "." not in key and module.__file__
    ]
