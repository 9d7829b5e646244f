"""Summaries drawn by Rich. Imported only when one is drawn."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from fulmen_callbacks._summary._text import Summary, cells_of, columns_of, totals_of


def show_table(summary: Summary, settings: dict[str, Any]) -> None:
    """Print the summary as a table, with the settings of `rich.table.Table`."""
    table = Table(**{"box": SIMPLE_HEAD, "header_style": "bold", "pad_edge": False, **settings})
    for heading in columns_of(summary):
        numeric = heading in ("Params", "FLOPs")
        table.add_column(heading, justify="right" if numeric else "left", style="dim" if not heading else None)
    for cells in cells_of(summary):
        table.add_row(*cells)
    totals = Table.grid(padding=(0, 2))
    totals.add_column(justify="right", style="bold")
    totals.add_column()
    for number, what in totals_of(summary):
        totals.add_row(number, what)
    Console().print(Group(table, totals, "") if summary.layers else Group(totals, ""), markup=False)
