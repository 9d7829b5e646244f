"""The outcome as a page of the documentation, of which each family of devices has a part of its own."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matrix_cells import DEVICES, Cell, accelerators, precisions, strategy_names, strategy_spec, twins
from matrix_model import BATCH, STEPS, WINDOW, roundings, tolerance
from matrix_run import Outcome

from fulmen_interfaces import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
HEAD = f"""# The matrix

Every strategy in every precision, on one and on two devices, for each family of devices.
`nox -s "matrix(backend='cpu')"` writes this page: it asks the resolver for every combination of what is installed.

- Each valid one trains {STEPS} optimizer steps on real processes, of {WINDOW} batches each, with {BATCH} samples over
  all devices and gradients clipped by their norm. It must end where a plain PyTorch loop in double precision ends.
- Each invalid one must have exactly the problems that follow from the specs of its parts.

A number in a cell is a number of devices on which it was trained, a letter what was against another one.
Strategies that have a launcher start their processes themselves in their first precision, and join processes that
exist in the others. A family of devices that is missing here was not at hand.
"""


def write(accelerator: str, outcomes: Sequence[Outcome]) -> None:
    """Put one family's part into the page."""
    text = PAGE.read_text() if PAGE.exists() else HEAD
    parts = dict(re.findall(r"\n<!-- begin (\w+) -->\n(.*?)<!-- end \1 -->\n", text, flags=re.DOTALL))
    parts[accelerator] = _part(accelerator, outcomes)
    written = "".join(f"\n<!-- begin {name} -->\n{parts[name]}<!-- end {name} -->\n" for name in sorted(parts))
    PAGE.write_text(HEAD + written)


def _part(accelerator: str, outcomes: Sequence[Outcome]) -> str:
    by_cell = {outcome.cell: outcome for outcome in outcomes}
    notes: dict[str, str] = {}
    names = [spec.name for spec in precisions()]
    rows: dict[tuple[str, ...], list[str]] = {}
    for strategy in strategy_names():
        asked = twins().get(strategy, strategy)
        entries = tuple(_entry(accelerator, asked, name, by_cell, notes) for name in names)
        rows.setdefault(entries, []).append(f"`{strategy}`")
    failed = sum(bool(outcome.wrong) for outcome in outcomes)
    summary = f"{len(outcomes) - failed} of {len(outcomes)} combinations agree with the plain loop"
    lines = [
        f"## {accelerator}",
        "",
        f"{summary} (torch {torch.__version__}, Python {platform.python_version()}, {_device(accelerator)}).",
        "",
        *_table(["strategy", *names], [[", ".join(words), *entries] for entries, words in rows.items()]),
        "",
        *[f"- **{letter}**: {reasons}" for reasons, letter in notes.items()],
        *([""] if notes else []),
        *_tolerances(outcomes),
        "",
    ]
    return "\n".join(lines)


def _entry(
    accelerator: str, strategy: str, precision: str, by_cell: Mapping[Cell, Outcome], notes: dict[str, str]
) -> str:
    """Return the numbers of devices on which a combination was trained, and the letters of what was against others."""
    shown: list[str] = []
    for devices in DEVICES:
        cell = Cell(accelerator, strategy, precision, devices)
        reasons: list[str] = []
        if cell in by_cell:
            shown.append(f"**{devices} fails**" if by_cell[cell].wrong else str(devices))
        elif isinstance(plan := cell.plan(), ConfigurationError):
            name = strategy_spec(strategy).name
            reasons = [re.sub(rf"\b{name}\b", "the strategy", problem.reason) for problem in plan.problems]
        shown += [notes.setdefault(_sentence(reason), _letter(len(notes))) for reason in reasons]
    return " ".join(dict.fromkeys(shown))


def _tolerances(outcomes: Sequence[Outcome]) -> list[str]:
    """How far the weights may be from the plain loop's, and were."""
    rows = []
    for spec in precisions():
        apart = [one.apart for one in outcomes if one.cell.precision == spec.name and one.apart is not None]
        if apart:
            what = "gradients" if spec.policy.autocast else "gradients and weights"
            reason = f"{roundings(spec.policy)} roundings of {what} to {spec.policy.compute}"
            rows.append([spec.name, f"{tolerance(spec.policy):.1e}", reason, f"{max(apart):.1e}"])
    heads = ["precision", "largest allowed difference", "that is", "largest difference seen"]
    return [*_table(heads, rows), "", "Differences are parts of the largest change that training made to a weight."]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def _device(accelerator: str) -> str:
    spec = next(one for one in accelerators() if one.name == accelerator)
    if spec.device_type == "cuda":
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    return f"{spec.probe().count} × {spec.device_type}"


def _sentence(reason: str) -> str:
    """Return the reason with a capital at its beginning, unless it begins with a name of torch's."""
    return reason if reason.startswith("torch.") else reason[:1].upper() + reason[1:]


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{_letter(number - 26)}"
