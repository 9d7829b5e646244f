"""The plan of a run: every choice made, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from fulmen_core.resolver._chosen import Chosen
from fulmen_core.resolver._launchers import JoinLauncher
from fulmen_core.resolver._lookup import detected
from fulmen_core.resolver._request import RunRequest
from fulmen_core.resolver._timetable import Timetable
from fulmen_interfaces import (
    Accelerator,
    AcceleratorSpec,
    ClusterEnvironment,
    ClusterEnvironmentSpec,
    InProcessLauncher,
    Launcher,
    LauncherSpec,
    LaunchSettings,
    Placement,
    Precision,
    PrecisionPolicy,
    PrecisionSpec,
    Strategy,
    StrategySpec,
    World,
)


@dataclass(frozen=True)
class RunPlan:
    """Which parts a run is made of. Printing it shows each with the distribution that it comes from."""

    request: RunRequest
    accelerator: Chosen[AcceleratorSpec]
    strategy: Chosen[StrategySpec]
    precision: Chosen[PrecisionSpec]
    devices: tuple[int, ...]
    """Device indices by local rank; 0 to n-1 where devices have no numbers."""
    num_nodes: int
    launcher: Chosen[LauncherSpec] | None = None
    """What starts the processes; None: nothing has to."""
    environment: Chosen[ClusterEnvironmentSpec] | None = None
    """Where this process was started; None: nowhere special."""
    joins: bool = False
    """Whether the environment has started the processes already."""
    environments: tuple[ClusterEnvironmentSpec, ...] = ()
    """Environments to look for in processes that the launcher starts."""
    notes: tuple[str, ...] = ()
    """What `"auto"` left out and why, as sentences."""
    timetables: tuple[Timetable, ...] = ()
    """When validation, logging and checkpoints fire, where loaders were given."""

    @property
    def accelerator_spec(self) -> AcceleratorSpec:
        """What the devices offer."""
        return self.accelerator.spec

    @property
    def strategy_spec(self) -> StrategySpec:
        """What the strategy offers and needs."""
        return self.strategy.spec

    @property
    def precision_spec(self) -> PrecisionSpec:
        """The precision; `precision_spec.policy` is its data."""
        return self.precision.spec

    @property
    def world_size(self) -> int:
        """Processes of all machines."""
        return len(self.devices) * self.num_nodes

    @property
    def launch_settings(self) -> LaunchSettings:
        """What the launcher is to start."""
        return LaunchSettings(len(self.devices), self.num_nodes)

    def make_accelerator(self) -> Accelerator:
        """Return the user's accelerator, or a new one."""
        made: Accelerator = self.accelerator.make()
        return made

    def make_strategy(self) -> Strategy:
        """Return the user's strategy, or a new one."""
        made: Strategy = self.strategy.make()
        return made

    def make_precision(self) -> Precision:
        """Return the user's precision, or a new one."""
        made: Precision = self.precision.make()
        return made

    def make_environment(self) -> ClusterEnvironment | None:
        """Return where processes meet, looked for at this moment: in a process that was launched it is there."""
        spec = self.environment.spec if self.environment else detected(self.environments)
        return spec.create() if spec else None

    def place(self, world: World) -> Placement:
        """Make the device of that process current, and return where it works. Called in the process itself."""
        accelerator = self.make_accelerator()
        device = accelerator.device(self.devices[world.local_rank])
        accelerator.setup(device)
        return Placement(world, device, accelerator, self.make_environment())

    def make_launcher(self) -> Launcher:
        """Return what runs the plan's processes: a new launcher, or one that uses those that exist."""
        if self.joins and self.environment is not None:
            return JoinLauncher(self.environment.make())
        made: Launcher = self.launcher.make() if self.launcher else InProcessLauncher()
        return made

    def __str__(self) -> str:
        rows = [
            ("accelerator", str(self.accelerator), self.accelerator.origin),
            ("devices", self._devices(), ""),
            ("strategy", str(self.strategy), self.strategy.origin),
            ("precision", describe_policy(self.precision_spec.policy), self.precision.origin),
            ("processes", self._processes(), self.launcher.origin if self.launcher else ""),
        ]
        if self.environment:
            rows.append(("environment", str(self.environment), self.environment.origin))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"{label:<{widths[0]}}  {value:<{widths[1]}}  {origin}".rstrip() for label, value, origin in rows]
        notes = [f"{'note':<{widths[0]}}  {note}" for note in self.notes]
        return "\n".join([*lines, *notes, *map(str, self.timetables)])

    def _devices(self) -> str:
        spec = self.accelerator_spec
        if not spec.indexed:
            return f"{len(self.devices)} × {spec.device_type}"
        return ", ".join(f"{spec.device_type}:{index}" for index in self.devices)

    def _processes(self) -> str:
        if self.world_size == 1:
            return "this one"
        where = f" on {self.num_nodes} machines" if self.num_nodes > 1 else ""
        how = f"started by {self.launcher}" if self.launcher else "already started"
        return f"{self.world_size}{where}, {how}"


def describe_policy(policy: PrecisionPolicy) -> str:
    """Return a precision in words."""
    if policy.autocast:
        scaled = ", loss scaled" if policy.loss_scaling else ""
        return f"{policy.name}: weights in {policy.parameters}, autocast to {policy.compute}{scaled}"
    return f"{policy.name}: all in {policy.compute}"
