"""From a request to the parts of a plan and everything that is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from fulmen_core.resolver._choose import choose_accelerator, choose_precision, choose_strategy, reason_of_absence
from fulmen_core.resolver._chosen import Chosen
from fulmen_core.resolver._devices import DeviceWish, parse_devices, place_devices
from fulmen_core.resolver._fit import Combination, misfits, misfits_of_strategy
from fulmen_core.resolver._launchers import choose_launcher
from fulmen_core.resolver._lookup import Lookup
from fulmen_core.resolver._plan import RunPlan
from fulmen_core.resolver._request import AUTO, RunRequest
from fulmen_core.resolver._words import install_hint
from fulmen_interfaces import (
    ACCELERATORS,
    STRATEGIES,
    AcceleratorSpec,
    LauncherSpec,
    PrecisionSpec,
    Problem,
    StrategySpec,
)

T = TypeVar("T")


@dataclass
class Findings:
    """What a request led to so far."""

    request: RunRequest
    problems: list[Problem]
    notes: list[str]
    accelerator: Chosen[AcceleratorSpec] | None = None
    strategy: Chosen[StrategySpec] | None = None
    precision: Chosen[PrecisionSpec] | None = None
    devices: tuple[int, ...] | None = None
    device_count: int | None = None
    """Devices of each machine; known also where they do not exist."""
    num_nodes: int | None = None
    launcher: Chosen[LauncherSpec] | None = None

    def parts(self, lookup: Lookup) -> Combination:
        """Return what is known, for the checks."""
        return Combination(
            request=self.request,
            accelerator=self.accelerator.spec if self.accelerator else None,
            strategy=self.strategy.spec if self.strategy else None,
            policy=self.precision.spec.policy if self.precision else None,
            devices=self.device_count,
            num_nodes=self.num_nodes,
            world=lookup.standing.world,
            environment=lookup.standing.made,
        )


def examine(request: RunRequest, lookup: Lookup) -> Findings:
    """Return everything that a request leads to and every problem in it."""
    found = Findings(request, [], [])
    if lookup.standing.problem:
        found.problems.append(lookup.standing.problem)
    _find_accelerator(found, lookup)
    found.precision = _unless_problem(choose_precision(request.precision, lookup), found)
    found.num_nodes = _unless_problem(_num_nodes(request.num_nodes), found)
    _find_devices(found, lookup)
    if _is_auto(request.strategy):
        found.problems += misfits(found.parts(lookup))
        _find_strategy(found, lookup)
    else:
        found.strategy = _unless_problem(choose_strategy(request.strategy, lookup), found)
        _leave_devices_to_strategy(found, lookup)
        found.problems += misfits(found.parts(lookup))
        _find_launcher(found, lookup)
    return found


def plan_of(found: Findings, lookup: Lookup) -> RunPlan | None:
    """Return the plan that flawless findings amount to."""
    accelerator, strategy, precision = found.accelerator, found.strategy, found.precision
    devices, num_nodes = found.devices, found.num_nodes
    if not (accelerator and strategy and precision and devices and num_nodes) or found.problems:
        return None
    return RunPlan(
        request=found.request,
        accelerator=accelerator,
        strategy=strategy,
        precision=precision,
        devices=devices,
        num_nodes=num_nodes,
        launcher=found.launcher,
        environment=lookup.standing.environment,
        joins=lookup.standing.world is not None,
        environments=lookup.environments,
        notes=tuple(found.notes),
    )


def _find_accelerator(found: Findings, lookup: Lookup) -> None:
    asked = found.request.accelerator
    found.accelerator = _unless_problem(choose_accelerator(asked, lookup), found)
    if found.accelerator is None:
        return
    spec = found.accelerator.spec
    if _is_auto(asked):
        found.notes += lookup.unusable(ACCELERATORS)
        above = [other for other in lookup.options(ACCELERATORS) if other.priority > spec.priority]
        found.notes += [f"{other.name} is left out: {reason_of_absence(other, lookup)}" for other in above]
    elif not lookup.probe(spec).available:
        found.problems.append(Problem("accelerator", asked, reason_of_absence(spec, lookup)))


def _num_nodes(asked: object) -> int | Problem:
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1:
        return asked
    remedy = f"Write num_nodes={int(asked)}." if isinstance(asked, str) and asked.strip().isdecimal() else ""
    return Problem("num_nodes", asked, "The number of machines is a whole number from 1 on.", remedy)


def _find_devices(found: Findings, lookup: Lookup) -> None:
    asked, world = found.request.devices, lookup.standing.world
    wish: DeviceWish | None = _unless_problem(parse_devices(asked), found)
    if isinstance(wish, (int, tuple)):
        found.device_count = wish if isinstance(wish, int) else len(wish)
    if wish is None or found.accelerator is None:
        return
    spec = found.accelerator.spec
    probe = lookup.probe(spec)
    if not probe.available:
        return
    if wish == "auto" and world is not None:
        wish = world.size // world.num_nodes
        if spec.indexed and wish > probe.count:
            reason = (
                f"{wish} processes were started on this machine, but each sees {probe.count} {spec.name} device(s)."
            )
            found.problems.append(Problem("devices", asked, reason, "Start one process for each device."))
            return
    _place(found, _unless_problem(place_devices(asked, wish, spec, probe), found))


def _place(found: Findings, devices: tuple[int, ...] | None) -> None:
    found.devices = devices
    found.device_count = found.device_count if devices is None else len(devices)


def _leave_devices_to_strategy(found: Findings, lookup: Lookup) -> None:
    """Take no more devices than the strategy can use, where their number was left to us."""
    if found.strategy is None or found.devices is None or not _is_auto(found.request.devices):
        return
    spec = found.strategy.spec
    if spec.max_devices is None or lookup.standing.world:
        return
    share = max(1, spec.max_devices // (found.num_nodes or 1))
    if share < len(found.devices):
        found.notes.append(f"{share} of {len(found.devices)} devices is used: {spec.name} takes no more.")
        _place(found, found.devices[:share])


def _find_launcher(found: Findings, lookup: Lookup) -> None:
    if found.strategy is None or found.device_count is None or found.num_nodes is None:
        return
    if any(problem.argument in ("devices", "num_nodes") for problem in found.problems):
        return
    world_size = found.device_count * found.num_nodes
    launcher = choose_launcher(found.strategy.spec, found.request.strategy, world_size, lookup)
    if isinstance(launcher, Problem):
        found.problems.append(launcher)
    else:
        found.launcher = launcher


def _find_strategy(found: Findings, lookup: Lookup) -> None:
    """Take the strategy of the highest priority that fits, for fewer devices where their number was left to us."""
    if found.accelerator is None or found.devices is None or found.num_nodes is None:
        return
    objections: list[str] = []
    if _first_that_fits(found, lookup, objections):
        return
    if len(found.devices) > 1 and _is_auto(found.request.devices) and lookup.standing.world is None:
        of_all = found.devices
        _place(found, of_all[:1])
        if _first_that_fits(found, lookup, []):
            found.notes.append(f"1 of {len(of_all)} devices is used. {' '.join(objections)}")
            return
        _place(found, of_all)
    found.problems.append(_nothing_fits(found, objections, lookup))


def _first_that_fits(found: Findings, lookup: Lookup, objections: list[str]) -> bool:
    parts = found.parts(lookup)
    for spec in lookup.options(STRATEGIES):
        wrong = misfits_of_strategy(replace(parts, strategy=spec))
        launcher = choose_launcher(spec, found.request.strategy, parts.world_size or 1, lookup)
        if isinstance(launcher, Problem):
            wrong.append(launcher)
        elif not wrong:
            found.strategy = Chosen(spec, lookup.origin(STRATEGIES, spec.name))
            found.launcher = launcher
            return True
        objections.append(wrong[0].reason)
    return False


def _nothing_fits(found: Findings, objections: list[str], lookup: Lookup) -> Problem:
    if not objections:
        reason = " ".join(lookup.unusable(STRATEGIES)) or "No strategy is installed."
        remedy = "`pip install fulmen-strategy-single-device` brings one for one device."
        return Problem("strategy", found.request.strategy, reason, remedy)
    remedy = install_hint(STRATEGIES, "ddp", lookup.catalogue).strip()
    if remedy:
        remedy = remedy.replace("brings it", "brings 'ddp', for several devices")
    return Problem("strategy", found.request.strategy, f"No installed strategy fits. {' '.join(objections)}", remedy)


def _is_auto(asked: object) -> bool:
    return isinstance(asked, str) and asked.strip().lower() == AUTO


def _unless_problem(outcome: T | Problem, found: Findings) -> T | None:
    if isinstance(outcome, Problem):
        found.problems.append(outcome)
        return None
    return outcome
