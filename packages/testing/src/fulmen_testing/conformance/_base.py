"""What all conformance classes share."""
# ruff: noqa: S101

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from fulmen_interfaces import Catalogue, PluginSpec, Role


class Conformance:
    """Judges a plugin by its spec.

    An author derives a class whose name begins with `Test`, sets `spec`, and overrides fixtures where the plugin needs
    settings. What the plugin can do is read from the spec, never said again. A test that the plugin cannot pass stays
    visible: override it, mark it `pytest.mark.xfail(reason=...)` and call the original from it.
    """

    role: ClassVar[Role[Any]]
    spec: ClassVar[PluginSpec[Any]]

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        """Settings with which the plugin is made; override it where it needs some."""
        return {}

    @pytest.fixture
    def plugin(self, settings: Mapping[str, object]) -> Any:
        """One new plugin."""
        return self.spec.create(**settings)

    def test_spec_can_be_listed(self) -> None:
        """If it fails: give the spec a name without spaces, and a summary of one line."""
        assert self.spec.name
        assert self.spec.name == "".join(self.spec.name.split())
        assert self.spec.summary
        assert "\n" not in self.spec.summary

    def test_name_leads_to_the_spec(self) -> None:
        """If it fails: correct the entry point of this name in pyproject.toml, and install the distribution again."""
        catalogue = Catalogue.installed()
        if self.spec.name not in catalogue.names(self.role):
            pytest.skip(f"no installed distribution offers the {self.role.noun} {self.spec.name!r}")
        assert catalogue.find(self.role, self.spec.name).spec is self.spec

    def test_every_plugin_is_a_new_one(self, settings: Mapping[str, object]) -> None:
        """If it fails: `create` must make an object on each call, for two runs may use the plugin at the same time."""
        assert self.spec.create(**settings) is not self.spec.create(**settings)

    def test_standard_tests_are_all_there(self) -> None:
        """If it fails: restore the tests that are named, or mark their overrides as xfail and say why."""
        changed = [name for name, standard in standard_tests(type(self)) if not is_kept(type(self), name, standard)]
        assert not changed, f"overridden or removed without an xfail mark and a reason: {', '.join(changed)}"


def standard_tests(suite: type[Conformance]) -> Iterator[tuple[str, object]]:
    """Yield the tests that a conformance class has of ours, whatever was derived from it."""
    seen: set[str] = set()
    for base in suite.__mro__:
        if base.__module__.partition(".")[0] != __name__.partition(".")[0]:
            continue
        for name, value in vars(base).items():
            if name.startswith("test_") and name not in seen:
                seen.add(name)
                yield name, value


def is_kept(suite: type[Conformance], name: str, standard: object) -> bool:
    """Return whether a test is the standard one, or an override that is expected to fail for a reason that it gives."""
    actual = getattr(suite, name, None)
    marks = getattr(actual, "pytestmark", [])
    return actual is standard or any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
