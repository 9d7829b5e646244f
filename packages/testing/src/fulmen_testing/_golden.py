"""Golden cases: what is given and what must come out, as JSON that other languages and versions can read too.

::

    {"cases": [{"name": "...", "given": {...}, "expected": {...}}, ...]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIELDS = {"name", "given", "expected"}


@dataclass(frozen=True)
class GoldenCase:
    """One case; its text is its name, so that it can stand as a parameter of a test."""

    name: str
    given: Mapping[str, Any]
    expected: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


def golden_cases(path: str | Path) -> tuple[GoldenCase, ...]:
    """Read the cases of one file. Raises ValueError where one is incomplete or two have one name."""
    file = Path(path)
    cases = tuple(_case(file, entry) for entry in json.loads(file.read_text("utf-8"))["cases"])
    names = [case.name for case in cases]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not cases or repeated:
        wrong = f"the names {', '.join(repeated)} are used twice" if repeated else "there is no case"
        raise ValueError(f"{file} cannot be read as golden cases: {wrong}. Give every case a name of its own.")
    return cases


def training_cases() -> tuple[GoldenCase, ...]:
    """Return the cases that every strategy must meet: one weight, worked out by hand."""
    return golden_cases(Path(__file__).parent / "golden" / "training.json")


def _case(file: Path, entry: Mapping[str, Any]) -> GoldenCase:
    if set(entry) != FIELDS:
        raise ValueError(
            f"{file} cannot be read as golden cases: the case {entry.get('name')!r} has {', '.join(sorted(entry))}. "
            f"A case has exactly {', '.join(sorted(FIELDS))}."
        )
    return GoldenCase(**entry)
