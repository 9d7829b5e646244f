"""All combinations of what is installed: nothing here names a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from fulmen_core.resolver import RunPlan, RunRequest, try_to_resolve
from fulmen_interfaces import (
    ACCELERATORS,
    PRECISIONS,
    STRATEGIES,
    AcceleratorSpec,
    Alias,
    Catalogue,
    ConfigurationError,
    PluginError,
    PrecisionSpec,
    StrategySpec,
)

DEVICES = (1, 2)
CATALOGUE = Catalogue.installed()


@dataclass(frozen=True)
class Cell:
    """One combination, in the words that a user writes."""

    accelerator: str
    strategy: str
    precision: str
    devices: int

    @property
    def id(self) -> str:
        """A name for files and messages."""
        return f"{self.accelerator}-{self.strategy}-{self.precision}-{self.devices}"

    def plan(self) -> RunPlan | ConfigurationError:
        """Return what the resolver makes of it."""
        request = RunRequest(self.accelerator, self.strategy, self.precision, self.devices)
        return try_to_resolve(request, CATALOGUE)


@dataclass(frozen=True)
class Group:
    """Cells that one program trains after each other."""

    distribution: str
    """Who offers their strategy: strategies of different distributions never share a process."""
    accelerator: str
    devices: int
    launcher: str | None
    """What starts the processes; None: they are there, as under torchrun."""
    cells: tuple[Cell, ...]

    @property
    def id(self) -> str:
        """A name for files and messages."""
        how = "alone" if self.devices == 1 else self.launcher or "joined"
        return f"{self.accelerator}-{self.distribution}-{how}"


def accelerators() -> list[AcceleratorSpec]:
    """Return the families of devices that are installed."""
    return sorted(CATALOGUE.specs(ACCELERATORS), key=lambda spec: spec.name)


def precisions() -> list[PrecisionSpec]:
    """Return the precisions that are installed."""
    return sorted(CATALOGUE.specs(PRECISIONS), key=lambda spec: spec.name)


def strategy_names() -> list[str]:
    """Return the words for strategies that lead to one: an alias of what is not installed leads nowhere."""
    names = []
    for name in CATALOGUE.names(STRATEGIES):
        try:
            CATALOGUE.find(STRATEGIES, name)
        except PluginError as error:
            if not isinstance(CATALOGUE.entry(STRATEGIES, name).load(), Alias):
                raise AssertionError(f"{name} cannot be loaded") from error
        else:
            names.append(name)
    return names


def strategy_spec(name: str) -> StrategySpec:
    return CATALOGUE.find(STRATEGIES, name).spec


def twins() -> dict[str, str]:
    """Return, for words that mean what another one means, that other word."""
    seen: dict[tuple[str, str], str] = {}
    found: dict[str, str] = {}
    for name in sorted(strategy_names(), key=lambda one: (strategy_spec(one).name != one, one)):
        meaning = CATALOGUE.find(STRATEGIES, name)
        key = (meaning.spec.name, repr(sorted(meaning.settings.items())))
        if key in seen:
            found[name] = seen[key]
        seen.setdefault(key, name)
    return found


def cells(accelerator: str) -> Iterator[Cell]:
    """Return every combination on one family of devices, valid or not."""
    names = [spec.name for spec in precisions()]
    for strategy, precision, devices in product(strategy_names(), names, DEVICES):
        yield Cell(accelerator, strategy, precision, devices)


@cache
def valid(accelerator: str) -> tuple[Cell, ...]:
    """Return the combinations that can be trained here, each meaning once."""
    same = twins()
    return tuple(cell for cell in cells(accelerator) if cell.strategy not in same and isinstance(cell.plan(), RunPlan))


def groups(chosen: Sequence[Cell], *, launched: bool) -> list[Group]:
    """Return the programs that train these cells.

    Processes that exist already are joined by every strategy alike. Where `launched`, each strategy also shows that it
    starts its own, in the first precision that it has.
    """
    found: dict[tuple[str, str, int, str | None], list[Cell]] = {}
    shown: set[str] = set()
    for cell in chosen:
        spec = strategy_spec(cell.strategy)
        starts = launched and cell.devices > 1 and spec.name == cell.strategy and spec.name not in shown
        if starts:
            shown.add(spec.name)
        key = (_distribution(cell.strategy), cell.accelerator, cell.devices, spec.launcher if starts else None)
        found.setdefault(key, []).append(cell)
    made = [Group(*key, cells=tuple(members)) for key, members in found.items()]
    return sorted(made, key=lambda group: (group.distribution, group.devices))


def representatives(accelerator: str) -> list[Cell]:
    """Return a part of the valid cells: each strategy once, with as many devices as it takes, precisions by turns."""
    times: dict[str, int] = {spec.name: 0 for spec in precisions()}
    by_name: dict[str, list[Cell]] = {}
    for cell in valid(accelerator):
        if strategy_spec(cell.strategy).name == cell.strategy:
            by_name.setdefault(cell.strategy, []).append(cell)
    chosen = []
    for options in by_name.values():
        most = max(cell.devices for cell in options)
        cell = min((one for one in options if one.devices == most), key=lambda one: times[one.precision])
        times[cell.precision] += 1
        chosen.append(cell)
    return chosen


def _distribution(strategy: str) -> str:
    return CATALOGUE.entry(STRATEGIES, strategy).distribution
