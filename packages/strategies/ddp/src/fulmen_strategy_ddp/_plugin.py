"""What users get for the word `ddp`."""

from __future__ import annotations

from fulmen_interfaces import PluginError, Strategy, StrategySpec


def create(**settings: object) -> Strategy:
    """Make the strategy from the settings that its user gave."""
    raise PluginError(
        f"The strategy ddp was asked for, with {settings}. "
        "fulmen-strategy-ddp does not make one yet. "
        "Write create() in fulmen_strategy_ddp/_plugin.py, or choose another strategy."
    )


DDP_SPEC = StrategySpec(
    name="ddp",
    create=create,
    summary="The ddp strategy.",
    priority=0,
)
