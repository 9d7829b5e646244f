"""Modules whose names are imported from other distributions when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple


class Offer(NamedTuple):
    """What one module offers without holding it."""

    module: str
    """The module's own name."""
    names: Mapping[str, str] = MappingProxyType({})
    """Name → where it is: `package`, or `package:other_name`."""
    packages: tuple[str, ...] = ()
    """Packages that are offered whole: every class and function in their `__all__`."""
    submodules: tuple[str, ...] = ()
    """The module's own submodules."""

    def load(self, name: str) -> object:
        """Import what a name stands for, and keep it. The module's `__getattr__`.

        Raises ImportError where its distribution is not installed, and AttributeError for unknown names.
        """
        if name == "__all__":
            return self.listed()
        value = self._find(name)
        setattr(sys.modules[self.module], name, value)
        return value

    def listed(self) -> list[str]:
        """Return the names whose distribution is installed. The module's `__dir__`."""
        named = [name for name, place in self.names.items() if _is_installed(_package(place))]
        whole = [name for package in self.packages if _is_installed(package) for name in _public_names(package)]
        return sorted({*named, *whole, *self.submodules})

    def _find(self, name: str) -> object:
        if name in self.submodules:
            return importlib.import_module(f"{self.module}.{name}")
        if name in self.names:
            package, _, other = self.names[name].partition(":")
            return getattr(self._import(package, name), other or name)
        if not name.startswith("_"):
            for package in self.packages:
                if name in _public_names_of(self._import(package, name)):
                    return getattr(sys.modules[package], name)
        from difflib import get_close_matches  # only to explain a mistake

        near = get_close_matches(name, self.listed(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module {self.module!r} has no attribute {name!r}.{hint}", name=name)

    def _import(self, package: str, name: str) -> object:
        try:
            return importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != _package(package):
                raise
            distribution = _package(package).replace("_", "-")
            raise ImportError(
                f"{self.module}.{name} is part of {distribution}, which is not installed. "
                f"`pip install {distribution}` brings it.",
                name=package,
            ) from None


def lazily(offer: Offer) -> tuple[Callable[[str], object], Callable[[], Iterable[str]]]:
    """Return a module's `__getattr__` and `__dir__`."""
    return offer.load, offer.listed


def _package(place: str) -> str:
    return place.partition(":")[0].partition(".")[0]


def _is_installed(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _public_names(package: str) -> list[str]:
    return _public_names_of(importlib.import_module(package))


def _public_names_of(package: object) -> list[str]:
    """Return what users need of a package: its constants are specs, for the catalogue."""
    return [name for name in getattr(package, "__all__", ()) if not name.isupper()]
