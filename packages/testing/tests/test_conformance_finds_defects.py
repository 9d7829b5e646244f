"""Every conformance class finds the defects that it is there for: suites of broken plugins fail where they must."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fulmen_interfaces import DISABLED_PLUGINS_VARIABLE

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.py"))


def expected_of(path: Path) -> dict[str, str]:
    """Suite → the test that must fail in it; an empty name where none may."""
    spec = importlib.util.spec_from_file_location(f"broken_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected: dict[str, str] = module.EXPECTED
    assert expected
    return expected


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bool]]:
    """Suite → test → whether it passed, in a pytest of its own."""
    report = tmp_path_factory.mktemp("report") / "report.xml"
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junitxml={report}"]
    tests = [
        f"{path}::{suite}::{test}" if test else f"{path}::{suite}"
        for path in BROKEN
        for suite, test in expected_of(path).items()
    ]
    # One precision suffices to find what is wrong with a strategy.
    environment = {**os.environ, DISABLED_PLUGINS_VARIABLE: "fulmen-precision"}
    command = [sys.executable, "-m", "pytest", *options, *tests]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
    found: dict[str, dict[str, bool]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        suite = found.setdefault(case.attrib["classname"].rpartition(".")[2], {})
        suite[case.attrib["name"]] = case.find("failure") is None and case.find("error") is None
    return found


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_defect_is_found(path: Path, outcomes: dict[str, dict[str, bool]]) -> None:
    for suite, test in expected_of(path).items():
        if test:
            assert outcomes[suite] == {test: False}, f"{suite} passes"
        else:
            assert all(outcomes[suite].values()), f"{suite} fails although it is sound"
