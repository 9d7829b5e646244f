"""What the commands of this folder share: their options, and where the table goes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from cases import WARM_UP, Effort, Measurement
from report import Row, as_json, markdown

Cases = Mapping[str, Measurement]


def parse(arguments: Sequence[str], description: str | None, cases: Cases, usual: Effort) -> argparse.Namespace:
    """Read the command line. `cases` of the result are names, `effort` is an Effort."""

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in cases]:
            raise argparse.ArgumentTypeError(f"no such case: {', '.join(unknown)}; there are {', '.join(cases)}")
        return chosen

    parser = argparse.ArgumentParser(description=description)
    rounds, steps = usual.rounds, usual.steps
    parser.add_argument("--cases", type=names, default=list(cases), help=f"some of {','.join(cases)}")
    parser.add_argument("--rounds", type=_several, default=rounds, help=f"turns that each contender gets ({rounds})")
    parser.add_argument(
        "--steps", type=_several, default=steps, help=f"steps of a turn, after {WARM_UP} more ({steps})"
    )
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    options = parser.parse_args(arguments)
    options.effort = Effort(options.rounds, options.steps)
    return options


def publish(rows: Sequence[Row], options: argparse.Namespace, **settings: object) -> None:
    """Print the table, and write what the command line asked for."""
    settings = {**asdict(options.effort), **settings}
    print(table := markdown(rows, settings))
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(as_json(rows, settings))


def _several(text: str) -> int:
    """A number of at least two, which a median of differences needs."""
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{number} is too few, two are the least")
    return number
