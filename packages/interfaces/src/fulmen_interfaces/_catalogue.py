"""The catalogue: which plugins there are. Names come from the metadata of installed distributions; only what is asked
for is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import Distribution, entry_points
from typing import Any, Generic, TypeVar

from fulmen_interfaces._accelerator import AcceleratorSpec
from fulmen_interfaces._errors import BrokenPlugin, DuplicatePlugin, UnknownPlugin
from fulmen_interfaces._names import KNOWN_DISTRIBUTIONS, did_you_mean
from fulmen_interfaces._plugin import Alias, PluginSpec
from fulmen_interfaces._specs import (
    CallbackSpec,
    CheckpointIOSpec,
    ClusterEnvironmentSpec,
    LauncherSpec,
    LoggerSpec,
    PrecisionSpec,
    ProfilerSpec,
    TunerSpec,
)
from fulmen_interfaces._strategy import StrategySpec

S = TypeVar("S", bound=PluginSpec[Any])

DISABLED_PLUGINS_VARIABLE = "FULMEN_DISABLED_PLUGINS"
"""Environment variable with names of plugins or distributions, parted by commas, that are treated as not installed."""


@dataclass(frozen=True)
class Role(Generic[S]):
    """One kind of plugin."""

    noun: str
    """How messages call it."""
    group: str
    """Its entry-point group."""
    spec_type: type[S]
    """What its entry points lead to."""


ACCELERATORS = Role("accelerator", "fulmen.accelerators", AcceleratorSpec)
STRATEGIES = Role("strategy", "fulmen.strategies", StrategySpec)
PRECISIONS = Role("precision", "fulmen.precisions", PrecisionSpec)
LOGGERS = Role("logger", "fulmen.loggers", LoggerSpec)
CALLBACKS = Role("callback", "fulmen.callbacks", CallbackSpec)
PROFILERS = Role("profiler", "fulmen.profilers", ProfilerSpec)
LAUNCHERS = Role("launcher", "fulmen.launchers", LauncherSpec)
CLUSTER_ENVIRONMENTS = Role("cluster environment", "fulmen.cluster_environments", ClusterEnvironmentSpec)
CHECKPOINT_IO = Role("checkpoint io", "fulmen.checkpoint_io", CheckpointIOSpec)
TUNERS = Role("tuner", "fulmen.tuners", TunerSpec)

ROLES: tuple[Role[Any], ...] = (
    ACCELERATORS,
    STRATEGIES,
    PRECISIONS,
    LOGGERS,
    CALLBACKS,
    PROFILERS,
    LAUNCHERS,
    CLUSTER_ENVIRONMENTS,
    CHECKPOINT_IO,
    TUNERS,
)


@dataclass(frozen=True)
class Entry:
    """One name that some distribution offers, not imported yet."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]


@dataclass(frozen=True)
class Found(Generic[S]):
    """What a name leads to: a spec, and the settings that an alias adds."""

    spec: S
    settings: Mapping[str, object] = field(default_factory=dict)

    def create(self, **settings: object) -> Any:
        """Make the plugin; given settings win over the alias'."""
        return self.spec.create(**{**self.settings, **settings})


def _origin(distribution: Distribution | None) -> tuple[str, str]:
    """Return name and version of a distribution."""
    if distribution is None:
        return "unknown", ""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


class Catalogue:
    """The plugins that a run may choose from, by role and name."""

    def __init__(self, entries: Mapping[str, Iterable[Entry]] | None = None) -> None:
        self._entries: dict[str, dict[str, list[Entry]]] = {role.group: {} for role in ROLES}
        for group, offered in (entries or {}).items():
            for entry in offered:
                self._add(group, entry)

    @classmethod
    def installed(cls) -> Catalogue:
        """Return a new catalogue of what installed distributions offer. Reads metadata, imports nothing."""
        disabled = {name.strip() for name in os.environ.get(DISABLED_PLUGINS_VARIABLE, "").split(",")}
        found: dict[str, list[Entry]] = {role.group: [] for role in ROLES}
        points, origin = entry_points(), cache(_origin)  # both read files each time they are asked
        for role in ROLES:
            for point in points.select(group=role.group):
                distribution, version = origin(point.dist)
                if not disabled & {point.name, distribution}:
                    found[role.group].append(Entry(point.name, distribution, version, point.load))
        return cls(found)

    def register(self, role: Role[S], spec: S | Alias, *, distribution: str = "this program") -> None:
        """Add a plugin at run time, for tests and notebooks; one of that name from elsewhere is an error when used."""
        self._add(role.group, Entry(spec.name, distribution, "", lambda: spec))

    def names(self, role: Role[Any]) -> tuple[str, ...]:
        """Return every name of that role, sorted."""
        return tuple(sorted(self._entries[role.group]))

    def entry(self, role: Role[Any], name: str) -> Entry:
        """Return who offers a name. Raises UnknownPlugin or DuplicatePlugin."""
        offered = self._entries[role.group].get(name)
        if not offered:
            raise UnknownPlugin(self._unknown(role, name))
        if len(offered) > 1:
            owners = " and ".join(sorted(f"{entry.distribution} {entry.version}".strip() for entry in offered))
            raise DuplicatePlugin(
                f"The {role.noun} {name!r} is offered by {owners}. Uninstall one, or name the one to leave out in "
                f"the environment variable {DISABLED_PLUGINS_VARIABLE}."
            )
        return offered[0]

    def find(self, role: Role[S], name: str) -> Found[S]:
        """Return what a name leads to, aliases followed. Raises UnknownPlugin, DuplicatePlugin or BrokenPlugin."""
        settings: dict[str, object] = {}
        seen: list[str] = []
        while name not in seen:
            seen.append(name)
            value = self._load(role, self.entry(role, name))
            if not isinstance(value, Alias):
                return Found(value, settings)
            settings = {**value.settings, **settings}
            name = value.target
        raise BrokenPlugin(f"The {role.noun} {seen[0]!r} is an alias that leads back to itself: {' → '.join(seen)}.")

    def specs(self, role: Role[S]) -> list[S]:
        """Return the specs of all names that are not aliases, imported; broken plugins are left out."""
        specs: list[S] = []
        for name in self.names(role):
            try:
                value = self._load(role, self.entry(role, name))
            except (BrokenPlugin, DuplicatePlugin):
                continue
            if not isinstance(value, Alias):
                specs.append(value)
        return specs

    def _add(self, group: str, entry: Entry) -> None:
        offered = self._entries[group].setdefault(entry.name, [])
        if all(other.distribution != entry.distribution for other in offered):
            offered.append(entry)

    def _load(self, role: Role[S], entry: Entry) -> S | Alias:
        try:
            value = entry.load()
        except Exception as error:
            raise BrokenPlugin(
                f"The {role.noun} {entry.name!r} of {entry.distribution} cannot be imported: "
                f"{type(error).__name__}: {error}. Reinstall {entry.distribution}, or choose another."
            ) from error
        if isinstance(value, (role.spec_type, Alias)):
            return value
        raise BrokenPlugin(
            f"The {role.noun} {entry.name!r} of {entry.distribution} leads to a {type(value).__name__}, but must lead "
            f"to a {role.spec_type.__name__} or an Alias. Its author must correct the entry point."
        )

    def _unknown(self, role: Role[Any], name: str) -> str:
        names = self.names(role)
        known = KNOWN_DISTRIBUTIONS.get(role.group, {})
        if name in known:
            return f"The {role.noun} {name!r} is not installed. `pip install {known[name]}` brings it."
        helpful = did_you_mean(name, [*names, *known]) or f"Installed: {', '.join(names) or 'none'}."
        return f"There is no {role.noun} {name!r}. {helpful}"


@lru_cache(maxsize=1)
def default_catalogue() -> Catalogue:
    """Return the catalogue that Trainers use unless told otherwise; read once per process."""
    return Catalogue.installed()
