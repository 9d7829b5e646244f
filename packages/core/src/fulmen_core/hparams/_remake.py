"""Objects made again from the hyper-parameters of a checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from fulmen_core.hparams._attribute_dict import AttributeDict
from fulmen_core.hparams._encode import DecodedHparams, Note, decode_hparams
from fulmen_core.hparams._references import NotFound
from fulmen_core.hparams._rules import lift
from fulmen_core.hparams._stored import HparamsKeys
from fulmen_interfaces import CheckpointError, did_you_mean, rank_zero_warn

T = TypeVar("T")


def make_again(
    cls: type[T], checkpoint: Mapping[str, Any], keys: HparamsKeys, overrides: Mapping[str, Any], *, path: str = ""
) -> T:
    """Make an object with the hyper-parameters of a checkpoint; `overrides` take their place.

    Raises CheckpointError, which tells what to pass, where an argument is needed that the checkpoint does not hold.
    """
    notes = checkpoint.get(keys.notes, ())
    decoded = decode_hparams(checkpoint.get(keys.values) or {}, notes, home=cls.__module__)
    wanted = _Signature.of(cls)
    container = checkpoint.get(keys.name)
    if container in wanted.names:
        arguments = _in_container(container, decoded, overrides, wanted, notes)
    else:
        inherited = {name for note in notes if note["kind"] == "inherited" for name in note["names"]}
        own = {name: value for name, value in decoded.values.items() if name not in inherited}
        arguments = wanted.accepted(own) | wanted.accepted(overrides, report=cls.__name__)
    _check_complete(cls, wanted, arguments, decoded, path)
    return cls(**arguments)


@dataclass(frozen=True)
class _Signature:
    """The arguments that a class takes by name."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    takes_any: bool
    """Whether there is a `**kwargs`."""

    @classmethod
    def of(cls, made: type) -> _Signature:
        if made.__init__ in (object.__init__, nn.Module.__init__):  # type: ignore[misc]  # compared, not called
            return cls((), (), False)
        parameters = list(inspect.signature(made.__init__).parameters.values())[1:]  # type: ignore[misc]
        named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        return cls(
            tuple(one.name for one in named),
            tuple(one.name for one in named if one.default is one.empty),
            any(one.kind is one.VAR_KEYWORD for one in parameters),
        )

    def accepted(self, arguments: Mapping[str, Any], report: str = "") -> dict[str, Any]:
        """Return those that can be given; warn about the others where `report` names the class."""
        unknown = [] if self.takes_any else [name for name in arguments if name not in self.names]
        for name in unknown if report else ():
            rank_zero_warn(
                f"{report}.load_from_checkpoint was given {name!r}, which {report}.__init__ does not take; it "
                f"is ignored. {did_you_mean(name, self.names)}".rstrip()
            )
        return {name: value for name, value in arguments.items() if name not in unknown}


def _in_container(
    container: str, decoded: DecodedHparams, overrides: Mapping[str, Any], wanted: _Signature, notes: Sequence[Note]
) -> dict[str, Any]:
    """Return the arguments where one of them holds all hyper-parameters: what is no argument itself goes into it."""
    arguments = {name: value for name, value in overrides.items() if name in wanted.names}
    if container in arguments:
        return arguments
    items = decoded.values | {name: value for name, value in overrides.items() if name not in wanted.names}
    for name, reason in decoded.failed.items():
        if name not in items:
            rank_zero_warn(f"{container!r} lacks the hyper-parameter {name!r}: {reason}. Pass `{name}=...` to give it.")
    rules = [note for note in notes if not note["at"] and note["kind"] != "inherited"]
    try:
        held = lift(rules[0]["kind"], items, rules[0]["of"], decoded.home) if rules else AttributeDict(items)
    except NotFound as reason:
        decoded.failed[container] = str(reason)
        return arguments
    return arguments | {container: held}


def _check_complete(
    cls: type, wanted: _Signature, arguments: Mapping[str, Any], decoded: DecodedHparams, path: str
) -> None:
    missing = [name for name in wanted.required if name not in arguments]
    if missing:
        reasons = [f"{name!r}: {decoded.failed.get(name, 'the checkpoint does not hold it')}" for name in missing]
        given = ", ".join(f"{name}=..." for name in missing)
        raise CheckpointError(
            f"{cls.__name__} cannot be made from the checkpoint {path}: arguments of `__init__` are missing "
            f"({'; '.join(reasons)}). Give them: `{cls.__name__}.load_from_checkpoint(path, {given})`.",
            path,
        )
    for name, reason in decoded.failed.items():
        if name in wanted.names and name not in arguments:
            rank_zero_warn(
                f"The hyper-parameter {name!r} of {cls.__name__} has its default value, not that of the checkpoint: "
                f"{reason}. Pass `{name}=...` to `load_from_checkpoint` to give it another."
            )
