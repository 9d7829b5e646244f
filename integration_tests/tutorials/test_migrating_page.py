"""The migration page names only what there is."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()
IMPORTS = sorted(
    {
        (package, name)
        for package, names in re.findall(r"from (fulmen\.\w+) import ([\w, ]+)", PAGE)
        for name in re.split(r", *", names)
    }
)


@pytest.mark.parametrize(("package", "name"), IMPORTS)
def test_what_is_imported_there_can_be_imported(package: str, name: str) -> None:
    assert getattr(importlib.import_module(package), name)


def test_what_it_says_is_missing_is_missing() -> None:
    missing = PAGE.partition("## What does not exist yet")[2]
    for package, name in [
        ("loggers", "CometLogger"),
        ("loggers", "LitLogger"),
        ("plugins", "MixedPrecision"),
        ("strategies", "ModelParallelStrategy"),
    ]:
        assert f"`{name}`" in missing
        assert not hasattr(importlib.import_module(f"fulmen.{package}"), name)
    assert importlib.util.find_spec("fulmen_cli") is None, "it is there: take it out of the page"
