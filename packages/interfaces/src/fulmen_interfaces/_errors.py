"""Every error that fulmen raises on purpose.

::

    FulmenError
    ├── ConfigurationError      what was asked of a Trainer cannot be done; holds all problems at once
    ├── PluginError             a plugin cannot be used
    │   ├── UnknownPlugin       no installed distribution offers that name
    │   ├── DuplicatePlugin     two distributions offer the same name
    │   └── BrokenPlugin        it is there but cannot be imported, or does not offer what it promises
    ├── ModuleError             the user's module does not offer what the run needs
    │   ├── StepOutputError     a step returned something that cannot be trained on
    │   └── LoggingError        `self.log` was called in a way that has no meaning
    ├── DataError               the data cannot be read as the run needs it
    ├── CheckpointError         a checkpoint cannot be written or read; holds the path
    └── RankError               one process of several failed, or the processes no longer agree
        └── DivergenceError     the processes were found at different places, each named by file and line
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_VALUE = 200
"""Characters of a value that are shown: it may be a whole model."""


class FulmenError(Exception):
    """Base of all errors that fulmen raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One reason why a configuration cannot run: what was asked, why not, what would work."""

    argument: str
    """The argument at fault, as the user wrote it: `strategy`."""
    value: object
    """What was given for it."""
    reason: str
    """Why that cannot be, as a whole sentence."""
    remedy: str = ""
    """What would work, as a whole sentence with real names."""

    def __str__(self) -> str:
        text = f"{self.argument}={_in_a_line(self.value)}: {self.reason}"
        return f"{text} {self.remedy}" if self.remedy else text


def _in_a_line(value: object) -> str:
    first, _, others = repr(value).partition("\n")
    return f"{first[:_LONGEST_VALUE]}..." if others or len(first) > _LONGEST_VALUE else first


class ConfigurationError(FulmenError, ValueError):
    """What was asked cannot be done. Raised before anything starts, with every problem at once."""

    def __init__(self, problems: Sequence[Problem], suggestions: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        self.suggestions = tuple(suggestions)
        super().__init__(self._text())

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[object, ...]]:
        return type(self), (self.problems, self.suggestions)

    def _text(self) -> str:
        if len(self.problems) == 1 and not self.suggestions:
            return str(self.problems[0])
        count = len(self.problems)
        lines = [f"{count} problem{'s' if count > 1 else ''} with this configuration:"]
        lines += [f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1)]
        if self.suggestions:
            lines.append("What would work here:")
            lines += [f"  {suggestion}" for suggestion in self.suggestions]
        return "\n".join(lines)


class PluginError(FulmenError):
    """A plugin cannot be used."""


class UnknownPlugin(PluginError, LookupError):
    """No installed distribution offers a plugin of that name."""


class DuplicatePlugin(PluginError):
    """Two installed distributions offer a plugin of the same name."""


class BrokenPlugin(PluginError):
    """A plugin cannot be imported, or does not offer what its entry point promises."""


class ModuleError(FulmenError):
    """The user's module does not offer what the run needs."""


class StepOutputError(ModuleError, ValueError):
    """A step returned something that cannot be trained on."""


class LoggingError(ModuleError, ValueError):
    """`self.log` was called where, or in a way that, it has no meaning."""


class DataError(FulmenError, ValueError):
    """The data cannot be read as the run needs it."""


class CheckpointError(FulmenError):
    """A checkpoint cannot be written or read."""

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(message)

    def __reduce__(self) -> tuple[type[CheckpointError], tuple[object, ...]]:
        return type(self), (str(self), self.path)


class RankError(FulmenError, RuntimeError):
    """One process of several failed, or the processes no longer do the same."""


class DivergenceError(RankError):
    """The processes do different things, so they would wait for each other for ever. Says where each of them is."""
