"""What users get for the word `$name`."""

from __future__ import annotations

from fulmen_interfaces import Accelerator, AcceleratorSpec, PluginError, Probe


def create(**settings: object) -> Accelerator:
    """Make the accelerator from the settings that its user gave."""
    raise PluginError(
        f"The accelerator $name was asked for, with {settings}. "
        "$distribution does not make one yet. "
        "Write create() in $import_name/_plugin.py, or choose another $kind."
    )


def probe() -> Probe:
    """Look for devices, without taking them."""
    reason = "$distribution does not look for devices yet."
    return Probe(count=0, reason=reason)


$spec = AcceleratorSpec(
    name="$name",
    create=create,
    summary="The $name $kind.",
    device_type="$name",
    probe=probe,
    priority=10,
)
