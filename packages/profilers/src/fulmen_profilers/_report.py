"""The table of the simple profiler."""

from __future__ import annotations

from collections.abc import Sequence

from fulmen_profilers._ledger import Ledger

_EXPLANATION = (
    "total: with the actions inside it. own: without them; own times and shares add up to the run.",
    "Class.hook: a hook of a callback, module or data module. Other names are the loop's own.",
)
_BETWEEN = "(between the actions)"
_WHOLE = "(the whole run)"


def report(ledger: Ledger, title: str, *, extended: bool) -> str:
    """Return lines of text: the actions by own time, what lies between them, and the whole."""
    unit, scale = ("s", 1e9) if ledger.total >= 1e9 else ("ms", 1e6)
    whole = max(ledger.total, 1)

    def row(name: str, calls: int, total: int, own: int) -> list[str]:
        cells = [name, str(calls), _number(total / max(calls, 1) / 1e6), _number(total / scale)]
        return [*cells, _number(own / scale), f"{own / whole:.1%}"]

    entries = sorted(ledger.entries.values(), key=lambda entry: entry.own, reverse=True)
    head = ["action", "calls", "mean [ms]", f"total [{unit}]", f"own [{unit}]", "share"]
    rows = [row(entry.action, entry.calls, ledger.time_of(entry), entry.own) for entry in entries]
    rest = [_BETWEEN, "", "", "", *row("", 1, ledger.rest, ledger.rest)[4:]]
    total = row(_WHOLE, 1, ledger.total, ledger.total)
    if not extended:
        head, total, *rows = [[cells[0], cells[2], cells[3]] for cells in [head, total, *rows]]
        return "\n".join([title, "", *_aligned([head, *rows, total])])
    return "\n".join([title, "", *_aligned([head, *rows, rest, total]), "", *_EXPLANATION])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows with columns in line, and rules below the first and above the last."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _number(value: float) -> str:
    return f"{value:,.3f}"
