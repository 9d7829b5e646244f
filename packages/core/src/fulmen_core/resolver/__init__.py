"""From words and numbers to a plan: which accelerator, devices, strategy, precision and launcher a run uses.

Nothing here knows a plugin. What goes together is read off their specs.
"""

from __future__ import annotations

from fulmen_core.resolver._chosen import Chosen
from fulmen_core.resolver._interactive import is_interactive
from fulmen_core.resolver._launchers import JoinLauncher
from fulmen_core.resolver._plan import RunPlan
from fulmen_core.resolver._request import RunRequest
from fulmen_core.resolver._resolve import resolve, try_to_resolve
from fulmen_core.resolver._timetable import MOMENTS_SHOWN, Moment, Timetable

__all__ = [
    "MOMENTS_SHOWN",
    "Chosen",
    "JoinLauncher",
    "Moment",
    "RunPlan",
    "RunRequest",
    "Timetable",
    "is_interactive",
    "resolve",
    "try_to_resolve",
]
