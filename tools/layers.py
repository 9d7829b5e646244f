"""Check who imports whom: `python tools/layers.py`, where all sources can be imported.

tools/layers.toml is turned into contracts of import-linter: what each distribution may not import, and no cycle
within one. Beside these, no underscore name may cross from one distribution into another.
"""

from __future__ import annotations

import ast
import json
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from importlinter.cli import lint_imports

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
SOURCES = {
    file.parent.relative_to(ROOT / "packages").as_posix(): next(file.parent.glob("src/*/__init__.py")).parent
    for file in sorted(ROOT.glob("packages/**/pyproject.toml"))
}
IMPORT_NAMES = {folder: source.name for folder, source in SOURCES.items()}


def main() -> int:
    """Run all checks, and return the exit status."""
    table = tomllib.loads((ROOT / "tools" / "layers.toml").read_text())["may_import"]
    # What is imported for types alone may not cross a layer either, but within a distribution it makes no cycle.
    passed = run_import_linter("who may import whom", list(forbidden(table)), skip_type_checking=False)
    passed &= run_import_linter("no cycles", [acyclic()], skip_type_checking=True)
    private = list(private_imports())
    for line in private:
        print(line)
    return 0 if passed and not private else 1


def forbidden(table: dict[str, list[str]]) -> Iterator[dict[str, object]]:
    """One contract per distribution that may not import all others."""
    for folder, name in IMPORT_NAMES.items():
        allowed = next(patterns for pattern, patterns in table.items() if fnmatch(folder, pattern))
        others = [n for f, n in IMPORT_NAMES.items() if n != name and not any(fnmatch(f, p) for p in allowed)]
        if others:
            yield {
                "name": f"{name} may import {', '.join(allowed) or 'nothing'}",
                "type": "forbidden",
                "source_modules": [name],
                "forbidden_modules": others,
            }


def acyclic() -> dict[str, object]:
    """The contract that no modules of one distribution import each other in a circle."""
    return {
        "name": "no import cycles",
        "type": "acyclic_siblings",
        "ancestors": list(IMPORT_NAMES.values()),
    }


def run_import_linter(title: str, contracts: list[dict[str, object]], *, skip_type_checking: bool) -> bool:
    """Let import-linter check the contracts; return whether all are kept."""
    print(f"== {title}")
    lines = [
        "[tool.importlinter]",
        f"root_packages = {json.dumps(list(IMPORT_NAMES.values()))}",
        f"exclude_type_checking_imports = {json.dumps(skip_type_checking)}",
    ]
    for contract in contracts:
        lines.append("[[tool.importlinter.contracts]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in contract.items()]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "contracts.toml"
        config.write_text("\n".join(lines))
        return lint_imports(config_filename=str(config), no_cache=True, no_logo=True) == 0


def private_imports() -> Iterator[str]:
    """Every import of another distribution's underscore name, as `file:line: what`."""
    for source in SOURCES.values():
        others = set(IMPORT_NAMES.values()) - {source.name}
        for file in sorted(source.rglob("*.py")):
            for line, path in imported_paths(ast.parse(file.read_text())):
                parts = path.split(".")
                if parts[0] in others and any(map(is_private, parts)):
                    yield f"{file.relative_to(ROOT)}:{line}: {path} is private to {parts[0]}"


def is_private(name: str) -> bool:
    """Whether it begins with one underscore; names like `__version__` are public."""
    return name.startswith("_") and not name.startswith("__")


def imported_paths(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The dotted path of everything that a module imports by an absolute name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


if __name__ == "__main__":
    sys.exit(main())
