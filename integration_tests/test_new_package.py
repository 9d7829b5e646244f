"""A distribution made by tools/new_package.py builds, installs, imports, and is found by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEW_PACKAGE = ROOT / "tools" / "new_package.py"
KINDS = sorted(path.name for path in (ROOT / "tools" / "template").iterdir() if path.name != "common")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, env=env)


def make(name: str, kind: str, into: Path) -> Path:
    result = run(NEW_PACKAGE, name, "--kind", kind, "--into", into)
    assert result.returncode == 0, result.stderr
    return next(into.rglob("pyproject.toml")).parent


@pytest.mark.parametrize("kind", KINDS)
def test_new_distribution_installs_and_its_plugin_is_found_by_name(kind: str, tmp_path: Path) -> None:
    folder = make("my_own", kind, tmp_path / "packages")
    site = tmp_path / "site"

    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", site, folder]
    installed = run(*pip)
    assert installed.returncode == 0, installed.stderr

    find = (
        "from importlib.metadata import entry_points\n"
        "[entry] = [e for e in entry_points(name='my_own') if e.group.startswith('fulmen.')]\n"
        "spec = entry.load()\n"
        "print(type(spec).__name__, spec.name)\n"
    )
    found = run("-c", find, PYTHONPATH=str(site))
    assert found.stdout.split() == [f"{kind.title()}Spec", "my_own"], found.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_stub_says_what_to_write(kind: str, tmp_path: Path) -> None:
    folder = make("my_own", kind, tmp_path)
    create = f"from fulmen_{kind}_my_own import MY_OWN_SPEC; MY_OWN_SPEC.create(level=3)"

    result = run("-c", create, PYTHONPATH=str(folder / "src"))

    assert result.returncode == 1
    assert f"The {kind} my_own was asked for, with {{'level': 3}}." in result.stderr
    assert f"Write create() in fulmen_{kind}_my_own/_plugin.py" in result.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_first_test_is_a_conformance_class_and_fails_until_the_plugin_is_written(kind: str, tmp_path: Path) -> None:
    folder = make("my_own", kind, tmp_path)

    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", folder / "tests", "--import-mode=importlib"]
    result = run(*command, PYTHONPATH=str(folder / "src"))

    assert result.returncode == 1, result.stdout
    assert "does not make one yet" in result.stdout


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    folder = make("my_own", "logger", tmp_path)
    (folder / "README.md").write_text("mine")

    again = run(NEW_PACKAGE, "my_own", "--kind", "logger", "--into", tmp_path)

    assert again.returncode != 0
    assert "is there already" in again.stderr
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["My_own", "my-own", "1st", "my__own", ""])
def test_names_that_cannot_be_imported_are_refused(name: str, tmp_path: Path) -> None:
    result = run(NEW_PACKAGE, name, "--kind", "logger", "--into", tmp_path)

    assert result.returncode == 2
    assert "is no plugin name" in result.stderr
    assert not list(tmp_path.iterdir())
