"""Classes by name, as checkpoints hold them."""

from __future__ import annotations

import sys


class NotFound(LookupError):
    """A class that a checkpoint names is not there; the message is a clause that says why."""


def reference_to(cls: type) -> str:
    """Return `module:Qualified.Name`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def readable_name(value: object) -> str:
    """Return a value's own name where it has one, else that of its class, for messages."""
    named = value if isinstance(value, type) else type(value)
    prefix = "" if named.__module__ == "builtins" else f"{named.__module__}."
    return prefix + named.__qualname__


def find_class(reference: str, home: str) -> type:
    """Return the class that a reference names, among modules that are imported already.

    Nothing is imported: a file that is loaded must not decide what code runs. A class of the program that was started
    (`__main__`) is looked for in the module `home`, too: the file may be read by another program.
    """
    module, _, name = reference.partition(":")
    modules = [module, home] if module == "__main__" else [module]
    for candidate in modules:
        found: object = sys.modules.get(candidate)
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    if module in sys.modules:
        raise NotFound(f"there is no class {name} in {module}")
    raise NotFound(f"its class {name} is in {module}, which is not imported")
