from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest_plugins = ["pytester"]

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"broken_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_defect_is_found(path: Path, pytester: pytest.Pytester) -> None:
    expected: dict[str, str] = load(path).EXPECTED
    assert expected
    result = pytester.inline_run(path, "-p", "no:cacheprovider", "--import-mode=importlib")
    failed: dict[str, set[str]] = {name: set() for name in expected}
    for report in result.getfailures():
        _, suite, test = report.nodeid.rsplit("::", 2)
        failed[suite].add(test)
    for suite, test in expected.items():
        if test:
            assert test in failed[suite], f"{suite} failed {failed[suite]}"
        else:
            assert not failed[suite]
