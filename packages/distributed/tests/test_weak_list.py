from __future__ import annotations

import gc
import pickle

from torch import nn

from fulmen_distributed import WeakList


def test_what_nobody_uses_any_more_is_not_kept() -> None:
    first, second, third = nn.Linear(1, 1), nn.Linear(1, 2), nn.Linear(1, 3)
    known: WeakList[nn.Linear] = WeakList()
    for one in (first, second, third):
        known.append(one)
    assert list(known) == [first, second, third]
    del second, one
    gc.collect()
    assert list(known) == [first, third]
    known.clear()
    assert list(known) == []


def test_a_copy_in_another_process_knows_none() -> None:
    known: WeakList[nn.Module] = WeakList()
    known.append(module := nn.Linear(1, 1))
    assert list(pickle.loads(pickle.dumps(known))) == []
    assert list(known) == [module]
