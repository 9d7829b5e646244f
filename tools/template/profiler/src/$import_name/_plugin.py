"""What users get for the word `$name`."""

from __future__ import annotations

from fulmen_interfaces import PluginError, Profiler, ProfilerSpec


def create(**settings: object) -> Profiler:
    """Make the profiler from the settings that its user gave."""
    raise PluginError(
        f"The profiler $name was asked for, with {settings}. "
        "$distribution does not make one yet. "
        "Write create() in $import_name/_plugin.py, or choose another $kind."
    )


$spec = ProfilerSpec(
    name="$name",
    create=create,
    summary="The $name $kind.",
)
