"""Finding the attribute that holds a learning rate or a batch size, and setting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from fulmen_core import LightningModule
from fulmen_interfaces import ConfigurationError, Problem, rank_zero_info
from fulmen_tuner._copies import Subject


@dataclass(frozen=True)
class Slot:
    """One place that holds the value."""

    owner: Any
    """An object, or a mapping with string keys."""
    name: str
    label: str
    """How messages call it."""

    def set(self, value: object) -> None:
        """Put another value there."""
        if isinstance(self.owner, MutableMapping):
            self.owner[self.name] = value
        else:
            setattr(self.owner, self.name, value)


def fill(slots: Sequence[Slot], value: float) -> None:
    """Put a value that was found everywhere, and tell it."""
    for slot in slots:
        slot.set(value)
    shown = f"{value:.4g}" if isinstance(value, float) else value
    rank_zero_info(f"{' and '.join(slot.label for slot in slots)} set to {shown}.")


def require_slots(subject: Subject, names: Sequence[str], argument: str) -> list[Slot]:
    """Return every place of the first name that is found. Raises ConfigurationError where none is."""
    for name in names:
        slots = list(find_slots(subject, name))
        if slots:
            return slots
    owners = " and ".join(type(one).__name__ for one in (subject.module, subject.datamodule) if one is not None)
    wanted = " or ".join(f"`{name}`" for name in names)
    numbers = ", ".join(sorted(set(_numbers(subject)))) or "none"
    raise ConfigurationError(
        [
            Problem(
                argument,
                names[0] if len(names) == 1 else "",
                f"{owners} has no {wanted} that can be set, nor have its hparams.",
                f"Numbers that it has: {numbers}. Pass {argument}='...' with one of them, or set one in `__init__`.",
            )
        ]
    )


def find_slots(subject: Subject, name: str) -> Iterator[Slot]:
    """Yield every place of that name: in the module, in the data module, and in the hyper-parameters of both.

    Dots lead into attributes and items: `optim.lr`.
    """
    *path, last = name.split(".")
    for label, root in _roots(subject):
        owner: Any = root
        for part in path:
            owner = _get(owner, part)
        if _can_be_set(owner, last):
            yield Slot(owner, last, f"{label}.{name}")


def _roots(subject: Subject) -> Iterator[tuple[str, Any]]:
    for owner in (subject.module, subject.datamodule):
        if owner is not None:
            label = "model" if isinstance(owner, LightningModule) else "datamodule"
            yield label, owner
            yield f"{label}.hparams", owner.hparams


def _get(owner: Any, name: str) -> Any:
    return owner.get(name) if isinstance(owner, Mapping) else getattr(owner, name, None)


def _can_be_set(owner: Any, name: str) -> bool:
    if isinstance(owner, Mapping):
        return isinstance(owner, MutableMapping) and name in owner
    if owner is None or not hasattr(owner, name):
        return False
    defined = getattr(type(owner), name, None)
    return not (isinstance(defined, property) and defined.fset is None)


def _numbers(subject: Subject) -> Iterator[str]:
    for label, root in _roots(subject):
        items = root if isinstance(root, Mapping) else vars(root)
        prefix = "hparams." if label.endswith("hparams") else ""
        for name, value in items.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and not name.startswith("_"):
                yield f"`{prefix}{name}`"
