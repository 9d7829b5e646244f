"""One part of a run, chosen: its spec, its settings, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fulmen_interfaces import BrokenPlugin, PluginSpec

S = TypeVar("S", bound=PluginSpec[Any])


@dataclass(frozen=True)
class Chosen(Generic[S]):
    """A plugin that the request led to."""

    spec: S
    origin: str
    """The distribution that offers it, with its version; for objects, that the user gave it."""
    settings: Mapping[str, object] = field(default_factory=dict)
    given: object | None = None
    """The user's object, where there is one."""

    def make(self) -> Any:
        """Return the user's object, or make a new one. Raises BrokenPlugin where a library is missing."""
        if self.given is not None:
            return self.given
        try:
            return self.spec.create(**self.settings)
        except ImportError as error:
            raise BrokenPlugin(
                f"{self.spec.name!r} of {self.origin} cannot be made: {type(error).__name__}: {error}. "
                "Install what is missing, or choose another."
            ) from error

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{self.spec.name} ({settings})" if settings else self.spec.name


@dataclass(frozen=True)
class Given:
    """Stands where a spec wants a factory: the object exists already."""

    value: object

    def __call__(self) -> Any:
        """Return the object."""
        return self.value
