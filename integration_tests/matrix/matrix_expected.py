"""Which problems a combination must have: read off the specs here a second time, without the resolver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matrix_cells import CATALOGUE, Cell, strategy_spec
from matrix_probes import probe

from fulmen_interfaces import ACCELERATORS, PRECISIONS, AcceleratorSpec, PrecisionPolicy, StrategySpec


@dataclass(frozen=True)
class Expected:
    """A problem: the argument at fault, and what its reason must contain."""

    argument: str
    facts: tuple[str, ...]

    def is_told_by(self, argument: str, reason: str) -> bool:
        return argument == self.argument and all(fact in reason for fact in self.facts)


def expected(cell: Cell) -> list[Expected]:
    """Return the problems of a combination; none where it is valid."""
    accelerator = CATALOGUE.find(ACCELERATORS, cell.accelerator).spec
    strategy = strategy_spec(cell.strategy)
    policy = CATALOGUE.find(PRECISIONS, cell.precision).spec.policy
    found = [
        *_devices(cell, accelerator),
        *_computing(accelerator, policy),
        *_placing(cell, accelerator, strategy),
        *_training(strategy, policy),
        *_ruled_out(accelerator, strategy, policy),
    ]
    if cell.devices > 1 and strategy.launcher is None and not any(one.argument == "devices" for one in found):
        found.append(Expected("strategy", (strategy.name, "does not start")))
    return found


def _devices(cell: Cell, accelerator: AcceleratorSpec) -> Iterator[Expected]:
    """Whether there are such devices, and as many."""
    there = probe(accelerator)
    if not there.count:
        yield Expected("accelerator", (there.reason,))
    elif accelerator.indexed and cell.devices > there.count:
        yield Expected("devices", (f"Only {there.count} {accelerator.name}",))


def _computing(accelerator: AcceleratorSpec, policy: PrecisionPolicy) -> Iterator[Expected]:
    """Whether the device computes in the types: one problem at most, the most basic one."""
    kept = {policy.parameters, policy.buffers, policy.parameters if policy.autocast else policy.compute}
    missing = sorted(str(one) for one in kept if one not in accelerator.dtypes)
    lowered = policy.compute in accelerator.autocast or not policy.autocast
    if missing:
        yield Expected("precision", (accelerator.name, *missing))
    elif not lowered:
        yield Expected("precision", ("autocast", str(policy.compute), accelerator.name))
    elif policy.loss_scaling and not accelerator.loss_scaling:
        yield Expected("precision", ("scaled", accelerator.name))


def _placing(cell: Cell, accelerator: AcceleratorSpec, strategy: StrategySpec) -> Iterator[Expected]:
    """Whether the strategy runs on such devices, on as many, and they can speak to each other."""
    alone = cell.devices == 1 or strategy.max_devices == 1
    if strategy.device_types and accelerator.device_type not in strategy.device_types:
        yield Expected("strategy", (strategy.name, "not on", accelerator.device_type))
    elif not accelerator.process_group and (strategy.needs_process_group or not alone):
        yield Expected("strategy", (strategy.name, "torch.distributed", accelerator.name))
    if strategy.max_devices and cell.devices > strategy.max_devices:
        yield Expected("devices", (strategy.name, f"not {cell.devices}"))


def _training(strategy: StrategySpec, policy: PrecisionPolicy) -> Iterator[Expected]:
    """Whether the strategy trains in that precision: one problem at most."""
    offered = strategy.autocast if policy.autocast else strategy.cast
    if policy.compute not in offered:
        yield Expected("precision", (strategy.name, str(policy.compute), "keep" if policy.autocast else "convert"))
    elif policy.loss_scaling and not strategy.loss_scaling:
        yield Expected("precision", (strategy.name, "scaled"))


def _ruled_out(accelerator: AcceleratorSpec, strategy: StrategySpec, policy: PrecisionPolicy) -> Iterator[Expected]:
    """What the strategy's author ruled out in words."""
    for refusal in strategy.refusals:
        here = refusal.device_types is None or accelerator.device_type in refusal.device_types
        if here and (refusal.precisions is None or policy.name in refusal.precisions):
            yield Expected("precision" if refusal.precisions is not None else "strategy", (refusal.reason,))
