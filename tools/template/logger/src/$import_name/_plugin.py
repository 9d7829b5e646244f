"""What users get for the word `$name`."""

from __future__ import annotations

from fulmen_interfaces import Logger, LoggerSpec, PluginError


def create(**settings: object) -> Logger:
    """Make the logger from the settings that its user gave."""
    raise PluginError(
        f"The logger $name was asked for, with {settings}. "
        "$distribution does not make one yet. "
        "Write create() in $import_name/_plugin.py, or choose another $kind."
    )


$spec = LoggerSpec(
    name="$name",
    create=create,
    summary="The $name $kind.",
)
