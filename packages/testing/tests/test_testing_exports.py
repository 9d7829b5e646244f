"""What is public is exported."""

from __future__ import annotations

from types import ModuleType

import fulmen_testing


def test_all_that_is_public_is_exported() -> None:
    public = {
        name
        for name, value in vars(fulmen_testing).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert set(fulmen_testing.__all__) == public
