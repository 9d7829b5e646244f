"""What users get for the word `$name`."""

from __future__ import annotations

from fulmen_interfaces import PluginError, Strategy, StrategySpec


def create(**settings: object) -> Strategy:
    """Make the strategy from the settings that its user gave."""
    raise PluginError(
        f"The strategy $name was asked for, with {settings}. "
        "$distribution does not make one yet. "
        "Write create() in $import_name/_plugin.py, or choose another $kind."
    )


$spec = StrategySpec(
    name="$name",
    create=create,
    summary="The $name $kind.",
    priority=0,
)
