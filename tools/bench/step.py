"""Measure what a step costs beside a raw loop: `python tools/bench/step.py`. See the README beside this file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from contenders import Contender, Library, Mode, Raw, StepCase, libraries
from costs import frames, import_cost
from report import Row, as_json, markdown
from rounds import compare, take_turns
from saving import measure_saving

STEP_CASES = {
    case.name: case
    for case in (
        StepCase("bare", "train step, everything off", Mode.TRAIN, 1.05),
        StepCase("one_log", "train step with one self.log", Mode.TRAIN, 1.08, metrics=1),
        StepCase("twenty_logs", "train step with twenty self.log", Mode.TRAIN, 1.30, metrics=20),
        StepCase("default", "train step, default Trainer, one self.log", Mode.TRAIN, 1.12, metrics=1, bare=False),
        StepCase("validate", "validation step with one self.log", Mode.VALIDATE, 1.20, metrics=1),
        StepCase("predict", "predict step", Mode.PREDICT, 1.12),
    )
}
WARM_UP = 20
SAVE_ROUNDS = 5
IMPORT_REPEATS = 7


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    steps: int


def main(arguments: Sequence[str]) -> int:
    """Measure the cases that were asked for, and report them."""
    options = parse(arguments)
    torch.set_num_threads(1)
    found, missing = libraries()
    print(*missing, sep="\n", file=sys.stderr)

    rows: list[Row] = []
    for name in options.cases:
        print(f"measuring {name} ...", file=sys.stderr)
        rows += CASES[name](found, Effort(options.rounds, options.steps))

    settings: dict[str, object] = {"rounds": options.rounds, "steps": options.steps}
    table = markdown(rows, settings)
    print(table)
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(as_json(rows, settings))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="step.py", description=__doc__)
    parser.add_argument("--cases", type=case_names, default=list(CASES), help=f"some of {','.join(CASES)}")
    parser.add_argument("--rounds", type=positive, default=15, help="turns that each contender gets (15)")
    parser.add_argument("--steps", type=positive, default=300, help=f"steps of a turn, after {WARM_UP} more (300)")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    return parser.parse_args(arguments)


def case_names(text: str) -> list[str]:
    """The cases of a comma-separated list."""
    names = text.split(",")
    if unknown := [name for name in names if name not in CASES]:
        raise argparse.ArgumentTypeError(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return names


def positive(text: str) -> int:
    """A number of at least two, which a median of differences needs."""
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{number} is too few, two are the least")
    return number


def measure_steps(case: StepCase, found: Sequence[Library], effort: Effort) -> list[Row]:
    """The median step of every contender."""
    contenders: list[Contender] = [Raw(), *found]

    def median_step(contender: Contender) -> float:
        return median(contender.run(case, WARM_UP + effort.steps).durations(skip=WARM_UP))

    names = [contender.name for contender in contenders]
    return [
        Row(
            case.name,
            case.what,
            *(one.contender, one.value, "us", one.ratio, (one.low, one.high)),
            limit=f"≤ {case.limit:.2f} ×" if one.contender == "fulmen" else "",
        )
        for one in compare(names, take_turns(contenders, effort.rounds, median_step))
    ]


def measure_imports(found: Sequence[Library], effort: Effort) -> list[Row]:
    """Seconds and modules beyond `import torch`."""
    rows = []
    for library in found:
        seconds, modules = import_cost(library.name, min(effort.rounds, IMPORT_REPEATS))
        limit = "≤ 0.10 s, ≤ 80 modules" if library.name == "fulmen" else ""
        what = "import, beyond import torch"
        rows.append(Row("import", what, library.name, seconds, "s", limit=limit, beside=f"{modules} modules"))
    return rows


def measure_frames(found: Sequence[Library], effort: Effort) -> list[Row]:
    """Frames between `Trainer.fit` and `training_step`."""
    rows = []
    for library in found:
        own, total = frames(library)
        limit = "≤ 8" if library.name == "fulmen" else ""
        beside = f"{total} with torch's"
        rows.append(Row("frames", "from fit to training_step", library.name, own, "frames", limit=limit, beside=beside))
    return rows


def measure_checkpoints(found: Sequence[Library], effort: Effort) -> list[Row]:
    """Seconds and memory of saving 200 MB."""
    measured, peaks = measure_saving(found, min(effort.rounds, SAVE_ROUNDS))
    rows = []
    for one in measured:
        peak = peaks[one.contender]
        rows.append(
            Row(
                *("save", "saving 200 MB", one.contender, one.value, "s", one.ratio, (one.low, one.high)),
                limit="≤ 1.20 ×, ≤ 10 MB" if one.contender == "fulmen" else "",
                beside="peak unknown" if peak is None else f"peak +{peak:.0f} MB",
            )
        )
    return rows


def step_measurement(case: StepCase) -> Callable[[Sequence[Library], Effort], list[Row]]:
    """The measurement of one case of `STEP_CASES`."""
    return lambda found, effort: measure_steps(case, found, effort)


CASES: dict[str, Callable[[Sequence[Library], Effort], list[Row]]] = {
    **{name: step_measurement(case) for name, case in STEP_CASES.items()},
    "import": measure_imports,
    "frames": measure_frames,
    "save": measure_checkpoints,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
