"""What users get for the word `$name`."""

from __future__ import annotations

from fulmen_interfaces import DType, PluginError, Precision, PrecisionPolicy, PrecisionSpec


def create(**settings: object) -> Precision:
    """Make the precision from the settings that its user gave."""
    raise PluginError(
        f"The precision $name was asked for, with {settings}. "
        "$distribution does not make one yet. "
        "Write create() in $import_name/_plugin.py, or choose another $kind."
    )


POLICY = PrecisionPolicy(
    name="$name",
    parameters=DType.FLOAT32,
    compute=DType.FLOAT32,
    reduce=DType.FLOAT32,
    buffers=DType.FLOAT32,
)

$spec = PrecisionSpec(
    name="$name",
    create=create,
    summary="The $name $kind.",
    policy=POLICY,
)
