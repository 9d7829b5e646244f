"""Whether there is a script that could be run again."""

from __future__ import annotations

import sys


def is_interactive() -> bool:
    """Return whether this is a notebook or a prompt, where no script can be run again."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
