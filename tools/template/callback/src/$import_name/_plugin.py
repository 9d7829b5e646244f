"""What users get for the word `$name`."""

from __future__ import annotations

from fulmen_interfaces import Callback, CallbackSpec, PluginError


def create(**settings: object) -> Callback:
    """Make the callback from the settings that its user gave."""
    raise PluginError(
        f"The callback $name was asked for, with {settings}. "
        "$distribution does not make one yet. "
        "Write create() in $import_name/_plugin.py, or choose another $kind."
    )


$spec = CallbackSpec(
    name="$name",
    create=create,
    summary="The $name $kind.",
)
