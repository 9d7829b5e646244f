"""What would work instead: found by trying changes through the same checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import combinations, islice, product
from typing import Any

from fulmen_core.resolver._devices import parse_devices
from fulmen_core.resolver._examine import examine
from fulmen_core.resolver._lookup import Lookup
from fulmen_core.resolver._request import ARGUMENTS, AUTO, RunRequest
from fulmen_core.resolver._words import cure_for_word, meant_by
from fulmen_interfaces import ACCELERATORS, PRECISIONS, STRATEGIES, PluginError, Problem, Role

NEAR = 0.6
"""From this likeness on, two names are taken for one that was misspelt."""
MOST_SUGGESTIONS = 4
MOST_PER_CHANGE = 2
MOST_VALUES = 4
"""Values tried per argument where several arguments have to change."""

_NAMED: Mapping[str, Role[Any]] = {"accelerator": ACCELERATORS, "strategy": STRATEGIES, "precision": PRECISIONS}


def with_remedies(request: RunRequest, problems: Sequence[Problem], lookup: Lookup) -> list[Problem]:
    """Return the problems by argument, each without a remedy completed by values that would work."""
    completed = [
        problem if problem.remedy else replace(problem, remedy=_remedy(request, problem, problems, lookup))
        for problem in problems
    ]
    order = {argument: position for position, argument in enumerate(ARGUMENTS)}
    return sorted(completed, key=lambda problem: order.get(problem.argument, -1))


def suggestions(request: RunRequest, problems: Sequence[Problem], lookup: Lookup) -> list[str]:
    """Return the nearest requests without a problem: those with the fewest changed arguments."""
    cures = _cures(request, lookup)
    request = with_values(request, cures)
    if cures and not examine(request, lookup).problems:
        return [request.written(always=cures)]
    at_fault = {problem.argument for problem in problems}
    for size in range(1, len(ARGUMENTS) + 1):
        groups = sorted(combinations(ARGUMENTS, size), key=lambda group: len(set(group) - at_fault))
        found: list[str] = []
        for group in groups:
            changes = _changes(request, group, lookup)
            flawless = (changed for changed in changes if not examine(changed, lookup).problems)
            found += [one.written(always={*group, *cures}) for one in islice(flawless, MOST_PER_CHANGE)]
        if found:
            return found[:MOST_SUGGESTIONS]
    return []


def with_values(request: RunRequest, values: Mapping[str, Any]) -> RunRequest:
    """Return the request with other values of some arguments."""
    return replace(request, **values)


def candidates(argument: str, request: RunRequest, lookup: Lookup) -> Sequence[str | int]:
    """Return other values of an argument that are worth a try, the nearest first."""
    asked = getattr(request, argument)
    if argument == "devices":
        return _device_counts(request, lookup)
    if argument == "num_nodes":
        return _node_counts(asked, lookup)
    role = _NAMED[argument]
    if argument == "strategy":
        names = [name for name in lookup.catalogue.names(role) if _likeness(asked, name) >= NEAR]
        names += [*_automatic_strategy(request, lookup), *[spec.name for spec in lookup.options(role)]]
    else:
        specs = lookup.available() if argument == "accelerator" else lookup.options(role)
        names = [spec.name for spec in specs]
    return [AUTO] if asked is None and argument != "precision" else _nearest_first(role, asked, names, lookup)


def _cures(request: RunRequest, lookup: Lookup) -> dict[str, object]:
    """Return what to write for words that stand for something else."""
    cures: dict[str, object] = {}
    for argument, role in _NAMED.items():
        word = getattr(request, argument)
        if isinstance(word, str) and word.strip().lower() not in lookup.catalogue.names(role):
            cures |= cure_for_word(role, argument, word, lookup.catalogue)
    return cures


def _changes(request: RunRequest, group: Sequence[str], lookup: Lookup) -> Iterator[RunRequest]:
    most = None if len(group) == 1 else MOST_VALUES
    values = [candidates(argument, request, lookup)[:most] for argument in group]
    for choice in product(*values):
        yield with_values(request, dict(zip(group, choice, strict=True)))


def _remedy(request: RunRequest, problem: Problem, before: Sequence[Problem], lookup: Lookup) -> str:
    argument = problem.argument
    work: list[str | int] = []
    for value in candidates(argument, request, lookup) if argument in ARGUMENTS else ():
        after = examine(with_values(request, {argument: value}), lookup).problems
        if len(after) < len(before) and all(other.argument != argument for other in after):
            work.append(value)
    near = [value for value in work if _likeness(problem.value, str(value)) >= NEAR]
    return f"{argument}={' or '.join(map(repr, (near or work)[:3]))} would work." if work else ""


def _nearest_first(role: Role[Any], asked: object, names: Sequence[str], lookup: Lookup) -> list[str]:
    """Return the names: those like what was asked for, the others only where none is."""
    wanted = _canonical(role, asked, lookup)
    others = [name for name in dict.fromkeys(names) if name not in (asked, wanted)]
    ranks = {name: _likeness(wanted, name) for name in others}
    return sorted(others, key=lambda name: -ranks[name] if ranks[name] >= NEAR else 0.0)


def _canonical(role: Role[Any], asked: object, lookup: Lookup) -> str:
    """Return the name behind an alias or a word from elsewhere."""
    word = str(asked).strip().lower()
    try:
        return str(lookup.find(role, word).spec.name)
    except PluginError:
        return meant_by(role, word) or word


def _likeness(asked: object, name: str) -> float:
    return SequenceMatcher(None, str(asked).lower(), name).ratio()


def _automatic_strategy(request: RunRequest, lookup: Lookup) -> list[str]:
    found = examine(with_values(request, {"strategy": AUTO}), lookup)
    return [found.strategy.spec.name] if found.strategy else []


def _node_counts(asked: object, lookup: Lookup) -> list[int]:
    world = lookup.standing.world
    told = int(asked) if isinstance(asked, str) and asked.strip().isdecimal() else 1
    counts = [world.num_nodes if world else told, 1]
    return [count for count in dict.fromkeys(counts) if count != asked]


def _device_counts(request: RunRequest, lookup: Lookup) -> list[int | str]:
    """Return numbers of devices that may fit: one, as many as asked, all, what the strategy takes, what was started."""
    found = examine(request, lookup)
    wish = parse_devices(request.devices)
    wanted = len(wish) if isinstance(wish, tuple) else wish if isinstance(wish, int) else 1
    counts = {1, wanted}
    if found.accelerator:
        counts.add(lookup.probe(found.accelerator.spec).count)
    if found.strategy and found.strategy.spec.max_devices:
        counts.add(found.strategy.spec.max_devices // (found.num_nodes or 1))
    if lookup.standing.world:
        counts.add(lookup.standing.world.size // lookup.standing.world.num_nodes)
    others = [count for count in counts if count > 0 and count != request.devices]
    nearest = sorted(others, key=lambda count: (abs(count - wanted), count))
    return [AUTO, *nearest] if isinstance(wish, Problem) else list(nearest)
