"""The one function that decides: from a request to a plan, or to all that is wrong with it."""

from __future__ import annotations

from fulmen_core.resolver._examine import examine, plan_of
from fulmen_core.resolver._lookup import Lookup
from fulmen_core.resolver._plan import RunPlan
from fulmen_core.resolver._request import RunRequest
from fulmen_core.resolver._suggest import suggestions, with_remedies
from fulmen_interfaces import Catalogue, ConfigurationError, Problem


def resolve(request: RunRequest, catalogue: Catalogue, *, interactive: bool = False) -> RunPlan:
    """Return the plan that a request leads to. Starts nothing; looks for devices and at environment variables only.

    `interactive` says that there is no script to be run again: a notebook or a prompt.
    Raises ConfigurationError with every problem, each with what would work, and the nearest requests without one.
    """
    plan = try_to_resolve(request, catalogue, interactive=interactive)
    if isinstance(plan, RunPlan):
        return plan
    raise plan


def try_to_resolve(
    request: RunRequest, catalogue: Catalogue, *, interactive: bool = False
) -> RunPlan | ConfigurationError:
    """Return the plan, or the error that `resolve` would raise, for callers who have problems of their own to add."""
    lookup = Lookup(catalogue, request.environment, interactive)
    found = examine(request, lookup)
    plan = plan_of(found, lookup)
    if plan:
        return plan
    problems: list[Problem] = with_remedies(request, found.problems, lookup)
    return ConfigurationError(problems, suggestions(request, found.problems, lookup))
