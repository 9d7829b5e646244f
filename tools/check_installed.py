"""Check distributions as installed: `python tools/check_installed.py NAME...`, far from the sources.

Each must import, hold every name of its `__all__`, carry its types and its licence, and load its entry points.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import sys
from collections.abc import Iterator


def main(names: list[str]) -> int:
    """Check the distributions, print what is wrong, and return the exit status."""
    problems = [f"{name}: {problem}" for name in names for problem in problems_of(name)]
    print("\n".join(problems) or f"{len(names)} distributions import and are whole")
    return 1 if problems else 0


def problems_of(name: str) -> Iterator[str]:
    """What is wrong with one installed distribution."""
    import_name = name.replace("-", "_")
    module = importlib.import_module(import_name)
    if "site-packages" not in str(module.__file__):
        yield f"imported from {module.__file__}, which is not what was installed"
    if not (importlib.resources.files(import_name) / "py.typed").is_file():
        yield "has no py.typed"
    yield from (f"{missing} is in __all__ only" for missing in module.__all__ if not hasattr(module, missing))

    metadata = importlib.metadata.distribution(name)
    if not any(file.name == "LICENSE" for file in metadata.files or ()):
        yield "has no LICENSE"
    for entry in metadata.entry_points:
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            yield f"entry point {entry.group} {entry.name}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
