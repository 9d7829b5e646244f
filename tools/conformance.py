"""A plugin for pytest that leaves nothing but conformance classes: `PYTHONPATH=tools pytest -p conformance packages`.

With `--every-plugin`, an installed plugin that none of them judges is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from fulmen_interfaces import ROLES, Catalogue, PluginError, PluginSpec
from fulmen_testing import Conformance

UNJUDGED_ROLES = frozenset({"launcher", "cluster environment", "tuner"})
"""There are no conformance classes for these yet."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--every-plugin", action="store_true", help="fail where an installed plugin is not judged")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of conformance classes."""
    suites = {item: suite_of(item) for item in items}
    kept = [item for item in items if suites[item] is not None]
    config.hook.pytest_deselected(items=[item for item in items if suites[item] is None])
    items[:] = kept
    if config.getoption("--every-plugin"):
        missing = list(unjudged({suite for suite in suites.values() if suite is not None}))
        if missing:
            raise pytest.UsageError(f"No conformance class that was collected judges {', '.join(missing)}.")


def suite_of(item: pytest.Item) -> type[Conformance] | None:
    """Return the conformance class that a test is of."""
    cls = item.cls if isinstance(item, pytest.Function) else None
    return cls if isinstance(cls, type) and issubclass(cls, Conformance) else None


def unjudged(suites: Iterable[type[Conformance]]) -> Iterator[str]:
    """Yield the installed plugins, without aliases, that none of these classes names."""
    judged = {(suite.role.group, maker(suite.spec)) for suite in suites}
    catalogue = Catalogue.installed()
    for role in ROLES:
        for name in () if role.noun in UNJUDGED_ROLES else catalogue.names(role):
            try:
                spec = catalogue.find(role, name).spec
            except PluginError:  # an alias of what is not installed
                continue
            if (role.group, maker(spec)) not in judged:
                yield f"the {role.noun} {name!r}"


def maker(spec: PluginSpec[Any]) -> Callable[..., Any]:
    """Return what makes the plugin: the same where names differ in settings alone."""
    return spec.create.func if isinstance(spec.create, partial) else spec.create
