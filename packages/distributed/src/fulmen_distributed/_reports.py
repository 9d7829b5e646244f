"""What the processes of a run leave behind for the one that started them: why they failed, and a result."""

from __future__ import annotations

import os
import pickle
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fulmen_interfaces import DivergenceError, FulmenError, RankError

_FOLLOW_UP_WORDS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


@dataclass(frozen=True)
class FailureReport:
    """One process' error."""

    rank: int
    at: float
    """Seconds since the epoch."""
    is_follow_up: bool
    """Whether it only says that another process is gone."""
    text: str
    """The traceback as Python prints it."""
    pickled: bytes | None
    """The error itself, where it can travel."""

    def error(self) -> BaseException:
        """Return the error, caused by one that shows the traceback of its rank."""
        told = RankError(f"Rank {self.rank} failed:\n\n{self.text}")
        if self.pickled is None:
            return told
        try:
            error: BaseException = pickle.loads(self.pickled)
        except Exception:  # its class may not be known here
            return told
        error.__cause__ = told
        return error


class Reports:
    """A folder of reports. Each is there whole or not at all."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def write_failure(self, rank: int, error: BaseException, *, hide: tuple[str, ...] = ()) -> None:
        """Write why this process failed; frames of the files in `hide` are left out at the traceback's start."""
        frames = _behind(error.__traceback__, hide)
        text = "".join(traceback.format_exception(type(error), error, frames))
        report = FailureReport(rank, time.time(), is_follow_up(error), text, _travelling(error))
        self._write(f"rank-{rank}.failure", pickle.dumps(report))

    def failures(self) -> list[FailureReport]:
        """Return what was reported: first those that are no follow-up of others, each kind by time."""
        found: list[FailureReport] = [pickle.loads(one.read_bytes()) for one in self.folder.glob("*.failure")]
        return sorted(found, key=lambda report: (report.is_follow_up, report.at))

    def write_end(self, rank: int) -> None:
        """Write that this process came to its program's end."""
        self._write(f"rank-{rank}.end", b"")

    def has_ended(self, rank: int) -> bool:
        """Return whether that process came to its program's end."""
        return (self.folder / f"rank-{rank}.end").exists()

    def write_result(self, result: Any) -> None:
        """Write the result of this machine's first rank. Raises FulmenError where it cannot be pickled."""
        try:
            content = pickle.dumps(result)
        except Exception as error:
            raise FulmenError(
                "What the first rank returns to the process that started it cannot be pickled: "
                f"{type(error).__name__}: {error}. Return plain values and tensors, or use 'ddp', where it is the "
                "calling process."
            ) from error
        self._write("result", content)

    def result(self) -> Any:
        """Return the result of this machine's first rank."""
        return pickle.loads((self.folder / "result").read_bytes())

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        part = self.folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(self.folder / name)


def is_follow_up(error: BaseException) -> bool:
    """Return whether an error only says that another process went away, or did not come."""
    import torch.distributed as dist

    if isinstance(error, (RankError, dist.DistError)):
        return not isinstance(error, DivergenceError)
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _FOLLOW_UP_WORDS)


def _behind(frames: TracebackType | None, hide: tuple[str, ...]) -> TracebackType | None:
    start = frames
    while start is not None and start.tb_frame.f_code.co_filename in hide:
        start = start.tb_next
    return start or frames


def _travelling(error: BaseException) -> bytes | None:
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:
        return None
    return pickled
