"""Temporary."""
from __future__ import annotations
from itertools import islice
from typing import Any
import torch
from fulmen_core.data import length_of, batches_under_limit

class BatchSizes:
    def of(self, batch: Any) -> int:
        while not isinstance(batch, torch.Tensor):
            batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
        return batch.size(0) if batch.dim() else 1

class EvaluationData:
    def __init__(self, loaders, *, limit, argument, hook):
        self.loaders_given = loaders
        self._l = list(loaders) if isinstance(loaders, (list, tuple)) and loaders and not isinstance(loaders[0], torch.Tensor) else [loaders]
        self.num_batches = [batches_under_limit(length_of(l), limit, argument) for l in self._l]
    @property
    def num_loaders(self): return len(self._l)
    def limited(self, n):
        import copy
        c = copy.copy(self); c.num_batches = [min(n, x) for x in self.num_batches]; return c
    def loaders(self):
        for i, l in enumerate(self._l):
            n = self.num_batches[i]
            yield i, (islice(iter(l), int(n)) if n != float("inf") else iter(l))

def loaders_for(hook, given, datamodule, module):
    if given is not None: return given
    return getattr(datamodule if datamodule is not None else module, hook)()

def unshuffled(l): return l
