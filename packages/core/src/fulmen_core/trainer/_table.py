"""The table of results that is printed after validation and test."""

from __future__ import annotations

from collections.abc import Sequence


def results_table(results: Sequence[dict[str, float]], title: str) -> str:
    """Return results as lines of text: a row per metric, a column per loader; empty where nothing was logged."""
    names = list(dict.fromkeys(_bare(key) for result in results for key in result))
    if not names:
        return ""
    heads = [title] if len(results) == 1 else [f"{title} {number}" for number in range(len(results))]
    by_name = [{_bare(key): value for key, value in result.items()} for result in results]
    rows = [["metric", *heads]]
    rows += [[name, *(_number(values.get(name)) for values in by_name)] for name in names]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rule = "─" * len(lines[0])
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def _bare(key: str) -> str:
    return key.partition("/dataloader_idx_")[0]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
