from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import fulmen_interfaces


def test_all_that_is_public_is_exported_and_sorted() -> None:
    public = {
        name
        for name, value in vars(fulmen_interfaces).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert set(fulmen_interfaces.__all__) == public
    assert len(fulmen_interfaces.__all__) == len(public)


def test_everything_exported_is_documented() -> None:
    for name in fulmen_interfaces.__all__:
        value = getattr(fulmen_interfaces, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


def test_the_standard_library_suffices() -> None:
    # In a process of its own, where nothing else was imported before.
    code = (
        "import sys; before = set(sys.modules); import fulmen_interfaces;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - set(sys.stdlib_module_names) - {'fulmen_interfaces'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.split() == []
