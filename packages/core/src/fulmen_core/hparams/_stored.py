"""Hyper-parameters as entries of a checkpoint, and as what loggers get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fulmen_core.hparams._attribute_dict import AttributeDict
from fulmen_core.hparams._encode import Note, encode_hparams
from fulmen_core.hparams._mixin import HyperparametersMixin, SavedHyperparameters, hyperparameters_of
from fulmen_interfaces import ConfigurationError, Problem, rank_zero_warn


@dataclass(frozen=True)
class HparamsKeys:
    """Under which keys of a checkpoint one object's hyper-parameters lie."""

    values: str
    name: str
    """Key of the container: the one argument that held them all, or `"kwargs"`."""
    type: str
    """Key of a container's class, which other programs write; it is not read here."""
    notes: str
    """Key of the notes on values that were not plain; absent where all were."""


MODULE_KEYS = HparamsKeys("hyper_parameters", "hparams_name", "hparams_type", "hparams_notes")
DATAMODULE_KEYS = HparamsKeys(
    "datamodule_hyper_parameters", "datamodule_hparams_name", "datamodule_hparams_type", "datamodule_hparams_notes"
)


def dump_hyperparameters(made: object, keys: HparamsKeys) -> dict[str, Any]:
    """Return a checkpoint's entries for an object's hyper-parameters; none where it recorded none.

    Warns about what cannot be stored, once for each object.
    """
    record = hyperparameters_of(made)
    if record is None:
        return {}
    encoded = encode_hparams(record.values)
    if encoded.left_out and not record.reported:
        record.reported = True
        _report_left_out(type(made).__name__, encoded.left_out)
    notes = _notes_on_arguments(record) + encoded.notes
    entries = {keys.name: record.container, keys.values: encoded.values}
    return entries | {keys.notes: notes} if notes else entries


def hyperparameters_to_log(*made: object) -> AttributeDict | None:
    """Return what loggers get of several objects' hyper-parameters, as they were recorded; None where there is nothing.

    Raises ConfigurationError where two objects have different values under one name.
    """
    merged = AttributeDict()
    for one in made:
        record = hyperparameters_of(one)
        if record is None or not record.logged or not isinstance(one, HyperparametersMixin):
            continue
        problems = [
            Problem(
                f"{type(one).__name__}.hparams[{name!r}]",
                value,
                f"another object of this run has {merged[name]!r} under that name, and loggers take one value.",
                "Rename it, or call `save_hyperparameters(logger=False)` in one of the two.",
            )
            for name, value in record.initial.items()
            if name in merged and not _same(merged[name], value)
        ]
        if problems:
            raise ConfigurationError(problems)
        merged.update(one.hparams_initial)
    return merged or None


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except (RuntimeError, ValueError, TypeError):  # arrays have no single truth
        return bool(str(one) == str(other))


def _notes_on_arguments(record: SavedHyperparameters) -> list[Note]:
    notes: list[Note] = []
    if record.inherited:
        notes.append({"at": [], "kind": "inherited", "names": sorted(record.inherited)})
    if record.container_rule is not None:
        kind, detail = record.container_rule
        notes.append({"at": [], "kind": kind, "of": detail})
    return notes


def _report_left_out(owner: str, left_out: Mapping[str, str]) -> None:
    shown = ", ".join(f"{name!r} ({what})" for name, what in left_out.items())
    arguments = ", ".join(f"{name}=..." for name in left_out)
    rank_zero_warn(
        f"The checkpoint of {owner} leaves out the hyper-parameters {shown}: they are not values that can be loaded "
        f"safely. Load it with `{owner}.load_from_checkpoint(path, {arguments})`; "
        f"`self.save_hyperparameters(ignore={list(left_out)})` leaves them out without this warning."
    )
