"""Make one more distribution: `python tools/new_package.py NAME --kind KIND`.

The files of tools/template/common and tools/template/KIND are copied, with the `$words` in their names and texts filled
in. What comes out builds, imports and is covered by every session at once; its first test runs the conformance class of
its kind, and fails until the plugin is written.
"""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "tools" / "template"

INTERFACES = "fulmen-interfaces>=0.1,<0.2"
DISTRIBUTED = "fulmen-distributed>=0.1,<0.2"
TORCH = "torch>=2.6"


@dataclass(frozen=True)
class Kind:
    """What the distributions of one kind have in common."""

    folder: str
    """Where they live below packages/."""
    group: str
    """Their entry-point group."""
    requires: tuple[str, ...] = (INTERFACES, TORCH)


KINDS = {
    "accelerator": Kind("accelerators/$name", "fulmen.accelerators"),
    "strategy": Kind("strategies/$name", "fulmen.strategies", (DISTRIBUTED, INTERFACES, TORCH)),
    "logger": Kind("loggers/$name", "fulmen.loggers", (INTERFACES,)),
    "callback": Kind("callback_$name", "fulmen.callbacks"),
    "precision": Kind("precision_$name", "fulmen.precisions"),
    "profiler": Kind("profiler_$name", "fulmen.profilers"),
}


def main() -> None:
    """Read the command line, make the distribution, and say what comes next."""
    parser = argparse.ArgumentParser(description="Make one more distribution from a template.")
    parser.add_argument("name", type=plugin_name, help="the word that users will write, for example tpu")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--into", type=Path, default=ROOT / "packages", help="default: packages/")
    args = parser.parse_args()
    folder = make(args.name, args.kind, args.into)
    print(f"Made {folder}. Next: write src/*/_plugin.py, until the tests pass that are in tests/.")


def plugin_name(text: str) -> str:
    """Return the name where it is one."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no plugin name: write small letters, digits and _, as in my_tpu")
    return text


def make(name: str, kind: str, into: Path) -> Path:
    """Write the distribution's files and return its folder, which must not exist yet."""
    words = words_of(name, kind)
    folder = into / fill(KINDS[kind].folder, words)
    if folder.exists():
        raise SystemExit(f"{folder} cannot be made: it is there already. Choose another name, or move it away.")
    for layer in (TEMPLATES / "common", TEMPLATES / kind):
        for source in sorted(path for path in layer.rglob("*") if path.is_file()):
            target = folder / fill(str(source.relative_to(layer)), words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fill(source.read_text(), words))
    shutil.copy(ROOT / "LICENSE", folder)
    return folder


def fill(text: str, words: dict[str, str]) -> str:
    """Put the words in the places of their `$names`."""
    return Template(text).substitute(words)


def words_of(name: str, kind: str) -> dict[str, str]:
    """What each `$word` of the templates stands for."""
    distribution = f"fulmen-{kind}-{name.replace('_', '-')}"
    return {
        "name": name,
        "kind": kind,
        "distribution": distribution,
        "import_name": distribution.replace("-", "_"),
        "group": KINDS[kind].group,
        "spec": f"{name.upper()}_SPEC",
        "title": "".join(part.title() for part in name.split("_")),
        "requires": "".join(f'    "{line}",\n' for line in KINDS[kind].requires),
    }


if __name__ == "__main__":
    main()
