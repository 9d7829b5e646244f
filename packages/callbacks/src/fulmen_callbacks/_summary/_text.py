"""What a summary holds, and how it reads as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fulmen_callbacks._summary._trace import Size

_UNITS = ("", "K", "M", "B", "T", "Q")


@dataclass(frozen=True)
class LayerSummary:
    """One row of a summary."""

    name: str
    type: str
    parameters: int
    mode: str
    """`train` or `eval`."""
    in_size: Size = None
    out_size: Size = None
    flops: int | None = None
    """Floating point operations of one forward pass; None where there was none."""


@dataclass(frozen=True)
class Summary:
    """What a model consists of. `str()` of it is a table."""

    layers: tuple[LayerSummary, ...]
    total_parameters: int
    trainable_parameters: int
    model_size: float
    """Of all parameters in megabytes (10⁶ bytes), in their present types."""
    modules_in_train_mode: int
    modules_in_eval_mode: int
    total_flops: int | None = None
    has_sizes: bool = False
    """Whether a forward pass was made."""

    def __str__(self) -> str:
        return as_text(self)


def columns_of(summary: Summary) -> list[str]:
    """Return the headings of the table."""
    sizes = ["FLOPs", "In sizes", "Out sizes"] if summary.has_sizes else []
    return ["", "Name", "Type", "Params", "Mode", *sizes]


def cells_of(summary: Summary) -> list[list[str]]:
    """Return the table's cells, row by row."""
    return [_cells(index, layer, summary.has_sizes) for index, layer in enumerate(summary.layers)]


def totals_of(summary: Summary) -> list[tuple[str, str]]:
    """Return what stands below the table: numbers, and what they are."""
    frozen = summary.total_parameters - summary.trainable_parameters
    totals = [
        (short(summary.trainable_parameters), "trainable params"),
        (short(frozen), "non-trainable params"),
        (short(summary.total_parameters), "total params"),
        (f"{summary.model_size:,.3f}", "estimated size of all params (MB)"),
        (str(summary.modules_in_train_mode), "modules in train mode"),
        (str(summary.modules_in_eval_mode), "modules in eval mode"),
    ]
    if summary.total_flops is not None:
        totals.append((short(summary.total_flops), "FLOPs of one forward pass"))
    return totals


def as_text(summary: Summary) -> str:
    """Return the summary as lines of text."""
    table = [columns_of(summary), *cells_of(summary)] if summary.layers else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    rule = "-" * max(map(len, lines), default=40)
    if lines:
        lines.insert(1, rule)
    width = max(len(number) for number, _ in totals_of(summary))
    return "\n".join([*lines, rule, *(f"{number.ljust(width)}  {what}" for number, what in totals_of(summary))])


def short(number: int) -> str:
    """Return a count with at most four digits: `61.1 K`."""
    unit = 0
    value = float(number)
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return str(number) if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _cells(index: int, layer: LayerSummary, has_sizes: bool) -> list[str]:
    cells = [str(index), layer.name, layer.type, short(layer.parameters), layer.mode]
    if has_sizes:
        flops = "n/a" if layer.flops is None else short(layer.flops)
        cells += [flops, _size(layer.in_size), _size(layer.out_size)]
    return cells


def _size(size: Size) -> str:
    if size is None:
        return "?"
    if isinstance(size, Sequence) and any(isinstance(item, (list, type(None))) for item in size):
        return "[" + ", ".join(map(_size, size)) + "]"
    return str(size)
