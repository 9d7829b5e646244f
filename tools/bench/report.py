"""The rows that were measured, as text, Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

HEADER = ("what", "who", "value", "ratio", "middle half of rounds", "limit", "beside")


@dataclass(frozen=True)
class Row:
    """One contender in one case."""

    case: str
    what: str
    contender: str
    value: float
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    limit: str = ""
    """What we promise for this case, in words."""
    beside: str = ""
    """Another figure that belongs to this one."""

    def cells(self) -> tuple[str, ...]:
        """The row as the table shows it."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} ×"
        spread = "" if self.spread is None else f"{self.spread[0]:.2f} – {self.spread[1]:.2f}"
        return self.what, self.contender, f"{self.value:,.4g} {self.unit}", ratio, spread, self.limit, self.beside


def markdown(rows: Sequence[Row], settings: dict[str, object]) -> str:
    """A table, and below it where it was measured."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n{', '.join(f'{key}: {value}' for key, value in (machine() | settings).items())}\n"


def as_json(rows: Sequence[Row], settings: dict[str, object]) -> str:
    """Everything, for a program that compares runs."""
    content = {"machine": machine(), "settings": settings, "rows": [asdict(row) for row in rows]}
    return json.dumps(content, indent=1) + "\n"


def machine() -> dict[str, object]:
    """Where this was measured, and how busy it was."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": load,
        "system": platform.platform(terse=True),
    }
