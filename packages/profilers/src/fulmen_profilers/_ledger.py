"""Time by action, such that every moment belongs to exactly one of them."""

from __future__ import annotations

from time import perf_counter_ns

from fulmen_profilers._base import not_running


class Entry:
    """Times of one action, in nanoseconds."""

    __slots__ = ("action", "begun", "calls", "open", "own", "total")

    def __init__(self, action: str) -> None:
        self.action = action
        self.calls = 0
        self.total = 0
        """With the actions inside; where it lies within itself, the outer one counts."""
        self.own = 0
        """Without the actions inside."""
        self.open = 0
        """Occurrences that have not ended."""
        self.begun = 0
        """When the outermost of them began."""


class Ledger:
    """Gives each moment to the innermost action that is open, or to none: `own` times and `rest` add up to `total`."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.rest = 0
        """Time in which no action was open."""
        self._stack: list[Entry] = []
        self._begun = self._now = perf_counter_ns()

    @property
    def total(self) -> int:
        """Time from the beginning to the last start, stop or settling."""
        return self._now - self._begun

    def start(self, action: str) -> None:
        """Open an action inside the one that is open."""
        self.settle()
        entry = self.entries.get(action)
        if entry is None:
            entry = self.entries[action] = Entry(action)
        entry.calls += 1
        if not entry.open:
            entry.begun = self._now
        entry.open += 1
        self._stack.append(entry)

    def stop(self, action: str) -> None:
        """Close the newest occurrence of an action; others that were opened inside stay open."""
        self.settle()
        entry = self.entries.get(action)
        if entry is None or not entry.open:
            raise not_running(action, [one.action for one in self._stack])
        entry.open -= 1
        if not entry.open:
            entry.total += self._now - entry.begun
        stack = self._stack
        if stack[-1] is entry:
            stack.pop()
        else:
            del stack[len(stack) - 1 - stack[::-1].index(entry)]

    def settle(self) -> None:
        """Give the time since the last event to the action that is open."""
        now = perf_counter_ns()
        passed, self._now = now - self._now, now
        if self._stack:
            self._stack[-1].own += passed
        else:
            self.rest += passed

    def time_of(self, entry: Entry) -> int:
        """Return an action's total, up to the last event where it is still open."""
        return entry.total + (self._now - entry.begun if entry.open else 0)
