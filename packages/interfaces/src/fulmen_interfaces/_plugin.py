"""What every plugin says of itself, as plain data.

An entry point leads to a spec or an alias. Importing it must be cheap: `create` imports what the plugin needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PluginSpec(Generic[T]):
    """What every spec says."""

    name: str
    """The word that users write."""
    create: Callable[..., T]
    """Makes the plugin from its settings, given by keyword; imports what it needs."""
    summary: str = ""
    """One line for listings."""


@dataclass(frozen=True, kw_only=True)
class Alias:
    """Another word for a plugin, with settings."""

    name: str
    target: str
    settings: Mapping[str, object] = field(default_factory=dict)
