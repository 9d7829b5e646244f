"""Which precisions a strategy can be tried with here."""

from __future__ import annotations

from fulmen_interfaces import PRECISIONS, AcceleratorSpec, PrecisionSpec, StrategySpec, default_catalogue
from fulmen_testing._fake_precision import FAKE_PRECISION_SPEC


def known_precisions() -> list[PrecisionSpec]:
    """Return the precisions that are installed, and float32 in any case."""
    installed = default_catalogue().specs(PRECISIONS)
    names = {one.name for one in installed}
    return installed if FAKE_PRECISION_SPEC.name in names else [FAKE_PRECISION_SPEC, *installed]


def usable_precisions(strategy: StrategySpec, accelerator: AcceleratorSpec) -> list[PrecisionSpec]:
    """Return those that strategy and accelerator both say they can do."""
    return [spec for spec in known_precisions() if strategy_can(strategy, accelerator, spec) and can(accelerator, spec)]


def can(accelerator: AcceleratorSpec, precision: PrecisionSpec) -> bool:
    """Return whether the accelerator says that it computes in that precision."""
    policy = precision.policy
    dtypes = accelerator.autocast if policy.autocast else accelerator.dtypes
    return policy.compute in dtypes and (accelerator.loss_scaling or not policy.loss_scaling)


def strategy_can(strategy: StrategySpec, accelerator: AcceleratorSpec, precision: PrecisionSpec) -> bool:
    """Return whether the strategy says that it trains in that precision, on that family of devices."""
    policy = precision.policy
    dtypes = strategy.autocast if policy.autocast else strategy.cast
    refused = any(
        (refusal.device_types is None or accelerator.device_type in refusal.device_types)
        and (refusal.precisions is None or policy.name in refusal.precisions)
        for refusal in strategy.refusals
    )
    return policy.compute in dtypes and (strategy.loss_scaling or not policy.loss_scaling) and not refused
