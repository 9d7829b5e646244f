"""What the user asked for, as written."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fulmen_interfaces import Accelerator, ClusterEnvironment, Precision, Strategy

AUTO = "auto"
ARGUMENTS = ("accelerator", "strategy", "precision", "devices", "num_nodes")


@dataclass(frozen=True)
class RunRequest:
    """Where and how to run: words, numbers, or objects in their place. Nothing in it is checked yet."""

    accelerator: str | Accelerator = AUTO
    strategy: str | Strategy = AUTO
    precision: str | int | Precision | None = None
    devices: int | str | Sequence[int] = AUTO
    num_nodes: int = 1
    environment: ClusterEnvironment | None = None
    """Where processes meet, if the user brought it; None: looked for."""
    caller: str = "Trainer"
    """The class that the user gave it to, for messages."""

    def __str__(self) -> str:
        return self.written()

    def written(self, always: Collection[str] = ()) -> str:
        """Return the request as a program states it; arguments at their default only where in `always`."""
        values = {name: getattr(self, name) for name in ARGUMENTS}
        defaults = {name: getattr(RunRequest, name) for name in ARGUMENTS}
        shown = [name for name in ARGUMENTS if name in always or values[name] != defaults[name]]
        return f"{self.caller}({', '.join(f'{name}={in_code(values[name])}' for name in shown)})"


def in_code(value: object) -> str:
    """Return a value as it stands in a program: objects as a call of their class."""
    if isinstance(value, str):
        return json.dumps(value)
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(in_code, value)) + "]"
    return f"{type(value).__name__}(...)"
