"""`save_hyperparameters`, for modules and data modules."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

from torch import nn

from fulmen_core.hparams._arguments import init_arguments
from fulmen_core.hparams._attribute_dict import AttributeDict
from fulmen_core.hparams._rules import lower
from fulmen_interfaces import ConfigurationError, Problem, did_you_mean

BY_KEYWORD = "kwargs"
"""The container's name where every hyper-parameter is an argument of its own."""


@dataclass
class SavedHyperparameters:
    """All that `save_hyperparameters` has recorded for one object."""

    values: AttributeDict = field(default_factory=AttributeDict)
    """As they are now."""
    initial: AttributeDict = field(default_factory=AttributeDict)
    """Copies from the time of the call."""
    container: str | None = None
    """The one argument that held them all, or `"kwargs"`; None where they were no arguments."""
    container_rule: tuple[str, str] | None = None
    """How a dict of them becomes that argument again, if it was no dict: kind and detail of a rule."""
    inherited: set[str] = field(default_factory=set)
    """Those that only base classes took as arguments: the object is made again without them."""
    logged: bool = True
    """Whether loggers get them."""
    reported: bool = False
    """Whether the user was told which of them a checkpoint cannot hold."""


class HyperparametersMixin:
    """Remembers what an object was made with, so that loggers can show it and a checkpoint can make it again."""

    _saved_hyperparameters: SavedHyperparameters | None = None

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Record the arguments of `__init__` in `self.hparams`; call it there, before they are changed.

        Without arguments all are recorded; names choose some; one mapping, namespace or dataclass is recorded item by
        item. `ignore` names what to leave out, `frame` is where to look for `__init__` (the caller's), and `logger`
        says whether loggers get them. Later calls add to what earlier ones recorded.
        """
        own = inspect.currentframe()
        given = init_arguments(self, frame or (own.f_back if own is not None else None))
        values, container, rule = _chosen(args, given.values)
        ignored = {ignore} if isinstance(ignore, str) else set(ignore or ())
        values = {name: value for name, value in values.items() if name not in ignored}

        record = self._record()
        for name in ignored:
            record.values.pop(name, None)
            record.initial.pop(name, None)
        record.values.update(values)
        record.initial.update({name: _copy(value) for name, value in values.items()})
        record.inherited |= values.keys() & (given.values.keys() - set(given.outermost))
        record.logged = logger
        if record.container != BY_KEYWORD:
            record.container, record.container_rule = container, rule

    @property
    def hparams(self) -> AttributeDict:
        """The recorded hyper-parameters. Changes to them go into checkpoints."""
        return self._record().values

    @hparams.setter
    def hparams(self, value: object) -> NoReturn:
        raise AttributeError(
            f"`{type(self).__name__}.hparams` was assigned, but `save_hyperparameters` fills it. "
            "Call `self.save_hyperparameters(hparams)` instead."
        )

    @property
    def hparams_initial(self) -> AttributeDict:
        """The hyper-parameters as they were recorded; a copy."""
        return AttributeDict({name: _copy(value) for name, value in self._record().initial.items()})

    def _record(self) -> SavedHyperparameters:
        if self._saved_hyperparameters is None:
            self._saved_hyperparameters = SavedHyperparameters()
        return self._saved_hyperparameters


def hyperparameters_of(made: object) -> SavedHyperparameters | None:
    """Return what `save_hyperparameters` recorded for an object; None where it recorded nothing."""
    record = made._saved_hyperparameters if isinstance(made, HyperparametersMixin) else None
    return record if record is not None and (record.values or record.container) else None


def _chosen(
    args: tuple[Any, ...], given: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None, tuple[str, str] | None]:
    """Return what to record, the name of the one argument that held it all, and how that is made from a dict."""
    if not args:
        return dict(given), BY_KEYWORD, None
    if all(isinstance(name, str) for name in args):
        _check_names(args, given)
        return {name: given[name] for name in args}, BY_KEYWORD, None
    if len(args) > 1:
        raise _refused(args, "it takes names, or one object that holds all hyper-parameters.")
    items = items_of(args[0])
    lowered = lower(args[0])
    return items, _name_of(args[0], items, given), (lowered.kind, lowered.detail) if lowered is not None else None


def items_of(container: object) -> dict[str, Any]:
    """Return what a mapping, namespace or dataclass object holds, by name."""
    if isinstance(container, Mapping):
        return {str(name): value for name, value in container.items()}
    if isinstance(container, argparse.Namespace):
        return dict(vars(container))
    if dataclasses.is_dataclass(container) and not isinstance(container, type):
        return {one.name: getattr(container, one.name) for one in dataclasses.fields(container)}
    raise _refused((container,), f"a {type(container).__name__} has no named items.")


def _name_of(container: object, items: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """Return the argument that is the container, or else holds the very same items."""
    for name, value in given.items():
        if value is container:
            return name
    for name, value in given.items():
        if isinstance(value, (Mapping, argparse.Namespace)) and _same_items(items, items_of(value)):
            return name
    return None


def _same_items(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(value is other[name] for name, value in one.items())


def _check_names(names: Sequence[str], given: Mapping[str, Any]) -> None:
    problems = [
        Problem(
            "save_hyperparameters",
            name,
            f"`__init__` has no argument of that name. {did_you_mean(name, given)}".rstrip(),
            f"Its arguments: {', '.join(given) or 'none'}.",
        )
        for name in names
        if name not in given
    ]
    if problems:
        raise ConfigurationError(problems)


def _refused(args: tuple[Any, ...], reason: str) -> ConfigurationError:
    shown = args[0] if len(args) == 1 else args
    remedy = "Call it without arguments, with names of arguments of `__init__`, or with a dict."
    return ConfigurationError([Problem("save_hyperparameters", shown, reason, remedy)])


def _copy(value: Any) -> Any:
    """Return a copy that later changes do not reach; the value itself where copying is impossible or would be heavy."""
    if isinstance(value, nn.Module):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # a user's object may fail in any way, and a missing copy is no reason to stop
        return value
