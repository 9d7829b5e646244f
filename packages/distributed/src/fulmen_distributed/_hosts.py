"""Lists of hosts as SLURM writes them: `gpu[03-05,9],login` or `rack[1-2]node[1-4]`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPLIT = re.compile(r"[,\s]+(?![^\[]*\])")
_BRACKETS = re.compile(r"([^\[]*)\[([^\]]*)\](.*)")


def hosts(listed: str) -> Iterator[str]:
    """Yield every host of such a list, in its order."""
    for part in _SPLIT.split(listed.strip()):
        if part:
            yield from _expanded(part)


def _expanded(part: str) -> Iterator[str]:
    match = _BRACKETS.fullmatch(part)
    if match is None:
        yield part
        return
    before, choices, rest = match.groups()
    for number in _numbers(choices):
        for end in _expanded(rest):
            yield f"{before}{number}{end}"


def _numbers(choices: str) -> Iterator[str]:
    """Yield the numbers of `03-05,9`, as wide as they are written."""
    for choice in choices.split(","):
        first, _, last = choice.strip().partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield str(number).zfill(len(first))
