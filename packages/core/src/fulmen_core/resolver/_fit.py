"""Which parts go together: read off the specs alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fulmen_core.resolver._request import RunRequest
from fulmen_interfaces import (
    AcceleratorSpec,
    ChecksLaunch,
    ClusterEnvironment,
    DType,
    LaunchSettings,
    PrecisionPolicy,
    Problem,
    Refusal,
    StrategySpec,
    World,
)


@dataclass(frozen=True)
class Combination:
    """Parts that a request led to; None where a part is unknown, so that the rest can still be checked."""

    request: RunRequest
    accelerator: AcceleratorSpec | None
    strategy: StrategySpec | None
    policy: PrecisionPolicy | None
    devices: int | None
    """Devices of each machine."""
    num_nodes: int | None
    world: World | None = None
    """Processes that exist already."""
    environment: ClusterEnvironment | None = None
    """Who started them."""

    @property
    def world_size(self) -> int | None:
        """Devices of all machines."""
        return None if self.devices is None or self.num_nodes is None else self.devices * self.num_nodes

    def problem(self, argument: str, reason: str, remedy: str = "") -> Problem:
        """Return a problem with an argument of the request."""
        return Problem(argument, getattr(self.request, argument), reason, remedy)


def misfits(parts: Combination) -> list[Problem]:
    """Return everything that keeps these parts from working together."""
    return [*precision_on_accelerator(parts), *processes_as_started(parts), *misfits_of_strategy(parts)]


def misfits_of_strategy(parts: Combination) -> list[Problem]:
    """Return what keeps the strategy from working with the other parts."""
    checks = (strategy_on_accelerator, strategy_over_devices, strategy_with_precision, refusals)
    return [problem for check in checks for problem in check(parts)]


def precision_on_accelerator(parts: Combination) -> Iterator[Problem]:
    """What the accelerator cannot compute."""
    accelerator, policy = parts.accelerator, parts.policy
    if accelerator is None or policy is None:
        return
    name = accelerator.name
    stored = {policy.parameters, policy.buffers} | (set() if policy.autocast else {policy.compute})
    if stored - accelerator.dtypes:
        yield parts.problem("precision", f"{name} cannot compute in {_listed(stored - accelerator.dtypes)}.")
    elif policy.autocast and policy.compute not in accelerator.autocast:
        yield parts.problem("precision", f"torch.autocast cannot use {policy.compute} on {name}.")
    elif policy.loss_scaling and not accelerator.loss_scaling:
        reason = f"{policy.compute} needs the loss to be scaled, which {name} does not support."
        yield parts.problem("precision", reason)


def processes_as_started(parts: Combination) -> Iterator[Problem]:
    """What differs from the processes that a scheduler has started."""
    world = parts.world
    if world is None:
        return
    if isinstance(parts.environment, ChecksLaunch) and parts.devices is not None and parts.num_nodes is not None:
        yield from parts.environment.problems(LaunchSettings(parts.devices, parts.num_nodes))
        return
    here = world.size // world.num_nodes
    if parts.num_nodes is not None and parts.num_nodes != world.num_nodes:
        reason = f"This process was started as one of {world.size} on {_machines(world.num_nodes)}."
        yield parts.problem("num_nodes", reason, f"Write num_nodes={world.num_nodes}.")
    elif parts.devices is not None and parts.devices != here:
        reason = f"This process was started as one of {here} on this machine."
        yield parts.problem("devices", reason, f"Write devices={here} or 'auto', or start {parts.devices}.")


def strategy_on_accelerator(parts: Combination) -> Iterator[Problem]:
    """What the strategy cannot do on that kind of device."""
    strategy, accelerator = parts.strategy, parts.accelerator
    if strategy is None or accelerator is None:
        return
    if strategy.device_types is not None and accelerator.device_type not in strategy.device_types:
        reason = f"{strategy.name} runs on {_listed(strategy.device_types)}, not on {accelerator.device_type}."
        yield parts.problem("strategy", reason)
    elif accelerator.process_group is None and _joins_processes(strategy, parts.world_size):
        reason = f"{strategy.name} joins processes by torch.distributed, which {accelerator.name} cannot take part in."
        yield parts.problem("strategy", reason)


def strategy_over_devices(parts: Combination) -> Iterator[Problem]:
    """What the strategy cannot do with so many devices and machines."""
    strategy, devices, num_nodes = parts.strategy, parts.devices, parts.num_nodes
    if strategy is None:
        return
    if num_nodes is not None and num_nodes > 1 and not strategy.multi_node:
        yield parts.problem("num_nodes", f"{strategy.name} works on one machine only.")
    if strategy.max_devices is None or devices is None:
        return
    if devices > strategy.max_devices:
        yield parts.problem("devices", f"{strategy.name} uses {_devices(strategy.max_devices)}, not {devices}.")
    elif num_nodes is not None and num_nodes * devices > strategy.max_devices and strategy.multi_node:
        reason = f"{strategy.name} uses {_devices(strategy.max_devices)} in all, not {num_nodes * devices}."
        yield parts.problem("num_nodes", reason)


def strategy_with_precision(parts: Combination) -> Iterator[Problem]:
    """What the strategy cannot do in that precision."""
    strategy, policy = parts.strategy, parts.policy
    if strategy is None or policy is None:
        return
    if policy.autocast and policy.compute not in strategy.autocast:
        reason = f"{strategy.name} cannot keep weights in {policy.parameters} and compute in {policy.compute}."
    elif not policy.autocast and policy.compute not in strategy.cast:
        reason = f"{strategy.name} cannot convert a model to {policy.compute}."
    elif policy.loss_scaling and not strategy.loss_scaling:
        reason = f"{policy.compute} needs the loss to be scaled, which {strategy.name} does not support."
    else:
        return
    yield parts.problem("precision", reason)


def refusals(parts: Combination) -> Iterator[Problem]:
    """What the strategy's author ruled out in words."""
    for refusal in parts.strategy.refusals if parts.strategy else ():
        if _applies(refusal, parts):
            argument = "strategy" if refusal.precisions is None else "precision"
            yield parts.problem(argument, refusal.reason, refusal.remedy)


def _joins_processes(strategy: StrategySpec, world_size: int | None) -> bool:
    return strategy.needs_process_group or ((world_size or 1) > 1 and strategy.max_devices != 1)


def _applies(refusal: Refusal, parts: Combination) -> bool:
    device_type = parts.accelerator and parts.accelerator.device_type
    precision = parts.policy and parts.policy.name
    return (refusal.device_types is None or device_type in refusal.device_types) and (
        refusal.precisions is None or precision in refusal.precisions
    )


def _listed(names: set[DType] | frozenset[str]) -> str:
    return " or ".join(sorted(str(name) for name in names))


def _devices(number: int) -> str:
    return "one device" if number == 1 else f"{number} devices"


def _machines(number: int) -> str:
    return "one machine" if number == 1 else f"{number} machines"
