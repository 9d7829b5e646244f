"""Telling one round of an elastic job from the next: torchrun keeps one store for all of them."""

from __future__ import annotations

import os
import secrets
import time
from datetime import timedelta

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from fulmen_interfaces import RankError, World

_PAUSE_SECONDS = 0.02


def is_elastic() -> bool:
    """Return whether torchrun may start this process' round anew."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def of_this_round(store: Store, world: World, timeout: timedelta) -> Store:
    """Return the part of a store that only the processes of this round use; what earlier ones left lies elsewhere.

    Rank zero makes up the name and gives it to those who greet it with a word that nobody used before.
    """
    ends = time.monotonic() + timeout.total_seconds()
    name = _give_name(store, world, ends) if world.is_global_zero else _ask_name(store, world, ends)
    return PrefixStore(name, store)


def _give_name(store: Store, world: World, ends: float) -> str:
    name = secrets.token_hex(8)
    missing = set(range(1, world.size))
    while missing:
        for rank in sorted(missing):
            if store.check([f"round/greeting/{rank}"]):
                store.set(f"round/answer/{store.get(f'round/greeting/{rank}').decode()}", name)
            if store.check([f"round/{name}/{rank}"]):
                missing.discard(rank)
        _wait(ends, f"Rank 0 waited for the others of its round, but rank {', '.join(map(str, sorted(missing)))}")
    return name


def _ask_name(store: Store, world: World, ends: float) -> str:
    word = secrets.token_hex(8)
    store.set(f"round/greeting/{world.rank}", word)
    while not store.check([f"round/answer/{word}"]):
        _wait(ends, f"Rank {world.rank} waited for rank 0, which")
    name = str(store.get(f"round/answer/{word}").decode())
    store.set(f"round/{name}/{world.rank}", "1")
    return name


def _wait(ends: float, who: str) -> None:
    if time.monotonic() > ends:
        raise RankError(
            f"{who} did not come in time. Look at what it printed, or give the strategy a longer `timeout`."
        )
    time.sleep(_PAUSE_SECONDS)
