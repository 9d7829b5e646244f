"""What can be found out about this machine and its plugins, each thing asked once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from fulmen_core.resolver._chosen import Chosen, Given
from fulmen_interfaces import (
    ACCELERATORS,
    CLUSTER_ENVIRONMENTS,
    AcceleratorSpec,
    BrokenPlugin,
    Catalogue,
    ClusterEnvironment,
    ClusterEnvironmentSpec,
    DuplicatePlugin,
    Found,
    PluginError,
    PluginSpec,
    Probe,
    Problem,
    Role,
    World,
)

S = TypeVar("S", bound=PluginSpec[Any])


@dataclass(frozen=True)
class Standing:
    """The cluster environment that this process is in."""

    environment: Chosen[ClusterEnvironmentSpec] | None = None
    world: World | None = None
    """The place of this process, where the processes were started by somebody else."""
    made: ClusterEnvironment | None = None
    problem: Problem | None = None


class Lookup:
    """Answers about plugins, devices and the environment; remembers them, for one resolution."""

    def __init__(self, catalogue: Catalogue, environment: ClusterEnvironment | None, interactive: bool) -> None:
        self.catalogue = catalogue
        self.interactive = interactive
        self._given_environment = environment
        self._found: dict[tuple[str, str], Found[Any] | PluginError] = {}
        self._options: dict[str, list[Any]] = {}
        self._probes: dict[AcceleratorSpec, Probe] = {}

    def find(self, role: Role[S], name: str) -> Found[S]:
        """Return what a name leads to. Raises what `Catalogue.find` raises."""
        key = (role.group, name)
        if key not in self._found:
            try:
                self._found[key] = self.catalogue.find(role, name)
            except PluginError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, PluginError):
            raise found
        return found

    def options(self, role: Role[S]) -> list[S]:
        """Return the specs that can be used, the highest priority first."""
        if role.group not in self._options:
            specs = self.catalogue.specs(role)
            self._options[role.group] = sorted(specs, key=lambda spec: (-getattr(spec, "priority", 0), spec.name))
        return self._options[role.group]

    def unusable(self, role: Role[Any]) -> list[str]:
        """Return why names of that role cannot be used although something offers them."""
        reasons = []
        for name in self.catalogue.names(role):
            try:
                self.find(role, name)
            except (BrokenPlugin, DuplicatePlugin) as error:
                reasons.append(str(error))
            except PluginError:  # an alias of a plugin that is not installed: that is no defect
                continue
        return reasons

    def probe(self, spec: AcceleratorSpec) -> Probe:
        """Return the devices of a family. A probe that fails has found none."""
        if spec not in self._probes:
            try:
                self._probes[spec] = spec.probe()
            except Exception as error:
                reason = f"Looking for its devices failed: {type(error).__name__}: {str(error).rstrip('.')}."
                self._probes[spec] = Probe(0, reason)
        return self._probes[spec]

    def available(self) -> list[AcceleratorSpec]:
        """Return the accelerators with at least one device, the highest priority first."""
        return [spec for spec in self.options(ACCELERATORS) if self.probe(spec).available]

    def origin(self, role: Role[Any], name: str) -> str:
        """Return the distribution behind a name, with its version."""
        try:
            entry = self.catalogue.entry(role, name)
        except PluginError:
            return "an unnamed distribution"
        return f"{entry.distribution} {entry.version}".strip()

    @cached_property
    def environments(self) -> tuple[ClusterEnvironmentSpec, ...]:
        """The cluster environments that could be detected, the highest priority first."""
        return tuple(self.options(CLUSTER_ENVIRONMENTS))

    @cached_property
    def standing(self) -> Standing:
        """The environment of this process, given or detected, and what it says."""
        chosen = self._environment()
        if chosen is None:
            return Standing()
        try:
            made: ClusterEnvironment = chosen.make()
            return Standing(chosen, made.world() if made.creates_processes else None, made)
        except Exception as error:
            reason = f"It does not tell where this process stands: {type(error).__name__}: {str(error).rstrip('.')}."
            remedy = "Correct the environment variables with which this process was started."
            return Standing(chosen, problem=Problem("environment", chosen.spec.name, reason, remedy))

    def _environment(self) -> Chosen[ClusterEnvironmentSpec] | None:
        given = self._given_environment
        if given is not None:
            made = ClusterEnvironmentSpec(name=type(given).__name__, create=Given(given), detect=Given(True))
            return Chosen(made, "given as an object", given=given)
        spec = detected(self.environments)
        return Chosen(spec, self.origin(CLUSTER_ENVIRONMENTS, spec.name)) if spec else None


def detected(specs: tuple[ClusterEnvironmentSpec, ...]) -> ClusterEnvironmentSpec | None:
    """Return the first of these environments in which this process was started."""
    return next((spec for spec in specs if spec.detect()), None)
