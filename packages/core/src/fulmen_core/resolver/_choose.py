"""From what the user wrote to specs, role by role. Nothing is compared with anything else here."""

from __future__ import annotations

from typing import Any, TypeVar

from fulmen_core.resolver._chosen import Chosen, Given
from fulmen_core.resolver._lookup import Lookup
from fulmen_core.resolver._request import AUTO
from fulmen_core.resolver._words import install_hint, remedy_for_word
from fulmen_interfaces import (
    ACCELERATORS,
    PRECISIONS,
    STRATEGIES,
    Accelerator,
    AcceleratorSpec,
    PluginError,
    PluginSpec,
    Precision,
    PrecisionPolicy,
    PrecisionSpec,
    Problem,
    Role,
    Strategy,
    StrategySpec,
    UnknownPlugin,
    did_you_mean,
)

S = TypeVar("S", bound=PluginSpec[Any])

GIVEN = "given as an object"
DEFAULT_PRECISION = "32-true"


def choose_accelerator(asked: object, lookup: Lookup) -> Chosen[AcceleratorSpec] | Problem:
    """Return the family of devices. A family that is installed but has no device is returned, too."""
    if isinstance(asked, str):
        word = asked.strip().lower()
        if word == AUTO:
            return _best_accelerator(asked, lookup.options(ACCELERATORS), lookup)
        if word not in lookup.catalogue.names(ACCELERATORS):  # else only what is named is imported
            members = [spec for spec in lookup.options(ACCELERATORS) if word in spec.families]
            if members:
                return _best_accelerator(asked, members, lookup)
        return choose_by_name(ACCELERATORS, "accelerator", asked, lookup)
    if isinstance(asked, type) or not isinstance(asked, Accelerator):  # a class has the methods of its objects
        return _wrong_kind("accelerator", asked, "an Accelerator")
    return _from_object(ACCELERATORS, "accelerator", asked, asked.spec)


def choose_strategy(asked: object, lookup: Lookup) -> Chosen[StrategySpec] | Problem:
    """Return the strategy that was named or given; `"auto"` is not for this function."""
    if isinstance(asked, str):
        return choose_by_name(STRATEGIES, "strategy", asked, lookup)
    if isinstance(asked, type) or not isinstance(asked, Strategy):  # a class has the methods of its objects
        return _wrong_kind("strategy", asked, "a Strategy")
    return _from_object(STRATEGIES, "strategy", asked, asked.spec)


def choose_precision(asked: object, lookup: Lookup) -> Chosen[PrecisionSpec] | Problem:
    """Return the precision; None means 32-bit floats."""
    name = DEFAULT_PRECISION if asked is None else _name_of_precision(asked)
    if name is not None:
        return choose_by_name(PRECISIONS, "precision", name, lookup, asked)
    if isinstance(asked, type) or not isinstance(asked, Precision):  # a class has the methods of its objects
        return _wrong_kind("precision", asked, "a Precision")
    policy = asked.policy
    if not isinstance(policy, PrecisionPolicy):
        reason = f"Its `policy` is a {type(policy).__name__}, not a PrecisionPolicy."
        return Problem("precision", asked, reason, "Its author must correct that.")
    return Chosen(PrecisionSpec(name=policy.name, create=Given(asked), policy=policy), GIVEN, given=asked)


def choose_by_name(
    role: Role[S], argument: str, name: str, lookup: Lookup, asked: object = None
) -> Chosen[S] | Problem:
    """Return what a name leads to, or why it leads nowhere and what to write instead."""
    value = name if asked is None else asked
    known = lookup.catalogue.names(role)
    word = name if name in known else name.strip().lower()
    try:
        found = lookup.find(role, word)
    except UnknownPlugin as error:
        return _unknown(role, argument, value, word, str(error), lookup)
    except PluginError as error:
        return Problem(argument, value, str(error))
    named = found.spec.name if found.spec.name in known else word
    return Chosen(found.spec, lookup.origin(role, named), found.settings)


def _unknown(role: Role[S], argument: str, value: object, name: str, message: str, lookup: Lookup) -> Problem:
    remedy = remedy_for_word(role, argument, name, lookup.catalogue)
    if remedy:
        return Problem(argument, value, f"There is no {role.noun} of that name.", remedy)
    hint = did_you_mean(name, lookup.catalogue.names(role))
    meant = hint.partition("'")[2].rpartition("'")[0]
    return Problem(argument, value, message, install_hint(role, meant, lookup.catalogue).strip())


def _best_accelerator(asked: object, specs: list[AcceleratorSpec], lookup: Lookup) -> Chosen[AcceleratorSpec] | Problem:
    for spec in specs:
        if lookup.probe(spec).available:
            return Chosen(spec, lookup.origin(ACCELERATORS, spec.name))
    if not specs:
        reasons = " ".join(lookup.unusable(ACCELERATORS)) or "No accelerator is installed."
        return Problem("accelerator", asked, reasons, "`pip install fulmen-accelerator-cpu` brings the CPU.")
    missing = " ".join(f"{spec.name}: {reason_of_absence(spec, lookup)}" for spec in specs)
    return Problem("accelerator", asked, f"No such device can be used here. {missing}")


def reason_of_absence(spec: AcceleratorSpec, lookup: Lookup) -> str:
    """Return why a family has no device here, as a sentence."""
    return lookup.probe(spec).reason or "No device was found."


def _name_of_precision(asked: object) -> str | None:
    if isinstance(asked, str):
        return asked
    if isinstance(asked, int) and not isinstance(asked, bool):
        return str(asked)
    text = str(asked)
    return text if text.startswith("torch.") else None


def _wrong_kind(argument: str, asked: object, wanted: str) -> Problem:
    if isinstance(asked, type):
        reason = f"{asked.__name__} is a class; {wanted.split()[-1].lower()} objects are made by calling it."
        return Problem(argument, asked, reason, f"Write {argument}={asked.__name__}().")
    if asked is None:
        return Problem(argument, asked, "None chooses nothing.", f"Leave {argument} out, or write 'auto'.")
    return Problem(argument, asked, f"This {type(asked).__name__} is neither a name nor {wanted} object.")


def _from_object(role: Role[S], argument: str, asked: object, spec: object) -> Chosen[S] | Problem:
    if isinstance(spec, role.spec_type):
        return Chosen(spec, GIVEN, given=asked)
    reason = f"Its `spec` is a {type(spec).__name__}, not a {role.spec_type.__name__}."
    return Problem(argument, asked, reason, "Its author must correct that.")
