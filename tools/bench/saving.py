"""What a checkpoint of 200 MB costs: seconds, and memory beyond the model, against `torch.save`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from cases import Effort
from contenders import BARE, Library, UserModule, silence
from report import Row
from rounds import Measured, compare, take_turns
from torch import Tensor
from workload import Clock, loader, network

MEGABYTE = 1_000_000
ROUNDS = 5
PARTS = 10
PART_BYTES = 20 * MEGABYTE

Saver = Callable[[Path], None]


class LargeModule(UserModule):
    """The small network, with weights beside it that fill the file and take no part in the step."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        super().__init__(Clock(1), network())
        for index, part in enumerate(parts):
            self.register_buffer(f"part_{index}", part)


def measure(found: Sequence[Library], effort: Effort) -> list[Row]:
    """Seconds and memory of saving 200 MB."""
    measured, peaks = save_in_turns(found, min(effort.rounds, ROUNDS))
    rows = []
    for one in measured:
        peak = peaks[one.contender]
        rows.append(
            Row(
                *("save", "saving 200 MB", one.contender, one.value, "s", one.ratio, (one.low, one.high)),
                limit="≤ 1.20 ×, ≤ 10 MB" if one.contender == "fulmen" else "",
                beside="peak unknown" if peak is None else f"peak +{peak:.0f} MB",
            )
        )
    return rows


def save_in_turns(libraries: Sequence[Library], rounds: int) -> tuple[list[Measured], dict[str, float | None]]:
    """Seconds per contender, and for each the megabytes that saving added to the process at its peak."""
    parts = [torch.randn(PART_BYTES // 4) for _ in range(PARTS)]
    savers: dict[str, Saver] = {"torch.save": raw_saver(parts), "torch.save and fsync": synced(raw_saver(parts))}
    savers |= {library.name: library_saver(library, parts) for library in libraries}
    peaks: dict[str, list[float]] = {name: [] for name in savers}

    with tempfile.TemporaryDirectory() as folder:

        def save(name: str) -> float:
            file = Path(folder) / "checkpoint.ckpt"
            file.unlink(missing_ok=True)
            os.sync()  # the last file's pages must not be written at the cost of this one
            before = reset_peak_memory()
            start = perf_counter()
            savers[name](file)
            seconds = perf_counter() - start
            if before is not None:
                peaks[name].append((memory("VmHWM") - before) / MEGABYTE)
            return seconds

        values = take_turns(list(savers), rounds, save)
    return compare(list(savers), values), {name: median(own) if own else None for name, own in peaks.items()}


def raw_saver(parts: Sequence[Tensor]) -> Saver:
    """What one writes by hand."""
    module = LargeModule(parts)
    return lambda file: torch.save({"state_dict": module.state_dict()}, file)


def synced(save: Saver) -> Saver:
    """The same, on the disk when it returns. A checkpoint that must survive a crash cannot be cheaper."""

    def save_and_sync(file: Path) -> None:
        save(file)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())

    return save_and_sync


def library_saver(library: Library, parts: Sequence[Tensor]) -> Saver:
    """`trainer.save_checkpoint` of a Trainer that has trained one step."""
    module = library.module(LargeModule, parts)
    with silence():
        trainer = library.trainer(**BARE)
        trainer.fit(module, loader(1))

    def save(file: Path) -> None:
        trainer.save_checkpoint(file)

    return save


def reset_peak_memory() -> float | None:
    """Let the process's peak begin at what it holds now; bytes it holds, or None where Linux does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return memory("VmRSS")
    except OSError:
        return None


def memory(field: str) -> float:
    """One field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * float(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")
