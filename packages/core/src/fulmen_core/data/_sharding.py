"""Each process reads its part of map-style data. The user's loaders are read through copies and stay as they are."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, SequentialSampler

from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._limits import batches_under_limit, length_of
from fulmen_core.data._stock import index_sampler, is_indexed, own_ways, reading
from fulmen_core.data._tree import map_loaders
from fulmen_core.random import Snapshot
from fulmen_interfaces import World, rank_zero_warn


@runtime_checkable
class RankAware(Protocol):
    """An iterable data set that gives each process another part; such without `set_rank` are left as they are."""

    def set_rank(self, rank: int, world_size: int) -> None:
        """Be told whose part to give, before the data is read or workers are started to read it."""
        ...


class Sharding:
    """How data is parted among the processes of a run.

    Args:
        world: the place of this process.
        seed: decides the order of shuffled data, of each loader another; the same on every rank.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed

    def for_training(self, loaders: Any, *, epoch: int = 0) -> Any:
        """Return loaders of this rank's part: all ranks have as many batches, to which end some samples come twice.

        `epoch` is the first that reads them: loaders that are made anew are shuffled anew.
        """
        return self._shard(loaders, self._seeds(epoch), even=True)

    def for_evaluation(self, loaders: Any, *, epoch: int = 0) -> Any:
        """Return loaders of this rank's part: the batches that one process would read are dealt out.

        Every sample is read by one rank, once, in the same batch as by one process; some ranks may have fewer batches.
        """
        return self._shard(loaders, self._seeds(epoch), even=False)

    def _seeds(self, epoch: int) -> random.Random:
        return random.Random(self._seed + epoch)

    def _shard(self, loaders: Any, seeds: random.Random, *, even: bool) -> Any:
        return map_loaders(loaders, lambda loader: self._part_of(loader, seeds, even=even))

    def _part_of(self, loader: Any, seeds: random.Random, *, even: bool) -> Any:
        """Return the part, or the loader itself where its indices are not ours to part."""
        if isinstance(loader, CombinedLoader):
            combined = CombinedLoader(self._shard(loader.iterables, seeds, even=even), loader.mode)
            combined.limits = loader.limits
            return combined
        seed = seeds.getrandbits(62)
        data = getattr(loader, "dataset", None)
        if isinstance(data, IterableDataset) and isinstance(data, RankAware):
            data.set_rank(self._world.rank, self._world.size)
        if not isinstance(loader, DataLoader) or isinstance(data, IterableDataset) or _is_distributed(loader):
            return loader
        if not is_indexed(loader):
            rank_zero_warn(
                f"{type(loader).__name__} has its own {', '.join(sorted(own_ways(loader)))}, so every rank reads all "
                "its data. Give it a DistributedSampler, or let it choose by rank and set "
                "use_distributed_sampler=False."
            )
            return loader
        indices = index_sampler(loader)
        batched = even and type(indices) is BatchSampler
        chosen = indices.sampler if isinstance(indices, BatchSampler) and batched else indices
        if not _has_length(chosen):
            name = type(getattr(chosen, "sampler", chosen)).__name__
            rank_zero_warn(
                f"{name} does not tell how many indices it gives, so every rank reads all of them. "
                "Give it a `__len__`, or let it choose by rank and set use_distributed_sampler=False."
            )
            return loader
        part = Part(chosen, self._world, seed=seed, even=even)
        if isinstance(indices, BatchSampler) and batched:
            return reading(loader, BatchSampler(part, indices.batch_size, indices.drop_last))
        return reading(loader, part)  # batches are dealt out whole


class Part:
    """One rank's share of what another sampler chooses: every n-th of its indices.

    Random choices of that sampler are the same on all ranks: they are made under a seed that comes from a generator of
    our own, which is part of the data's position in a checkpoint. Random numbers of the run are not touched.
    """

    def __init__(self, sampler: Any, world: World, *, seed: int, even: bool) -> None:
        self.sampler = sampler
        self._world = world
        self._even = even
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._places(len(self.sampler)))

    def __iter__(self) -> Iterator[Any]:
        if not self._even and _is_in_order(self.sampler):
            return islice(iter(self.sampler), self._world.rank, None, self._world.size)
        chosen = self._chosen()
        return (chosen[place % len(chosen)] for place in self._places(len(chosen)))

    def among_first(self, count: int) -> int:
        """Return how many of the first so many that the sampler chooses are this rank's."""
        return len(range(self._world.rank, count, self._world.size))

    def set_epoch(self, epoch: int) -> None:
        """Pass it on, also to the sampler of which a batch sampler makes batches."""
        samplers: tuple[Any, ...] = (self.sampler, getattr(self.sampler, "sampler", None))
        for one in samplers:
            if hasattr(one, "set_epoch"):
                one.set_epoch(epoch)

    def _places(self, total: int) -> range:
        size = self._world.size
        end = -(-total // size) * size if self._even else total
        return range(self._world.rank, end, size)

    def _chosen(self) -> Sequence[Any]:
        if _is_in_order(self.sampler) and not isinstance(self.sampler, BatchSampler):
            return range(len(self.sampler))
        seed = int(torch.randint(2**62, (), generator=self._generator))
        before = Snapshot.take()
        try:
            _seed_host(seed)
            return list(self.sampler)
        finally:
            before.restore()


def _seed_host(seed: int) -> None:
    """Seed the generators of this process, those of devices left out."""
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)


def is_dealt(loader: Any) -> bool:
    """Whether a loader of `for_evaluation` gives every n-th of the batches that one process would read."""
    if isinstance(loader, CombinedLoader):
        return bool(loader.flattened) and all(is_dealt(each) for each in loader.flattened)
    return isinstance(loader, DataLoader) and isinstance(index_sampler(loader), Part)


def share_of_dealt(loader: Any, share: float, argument: str) -> int:
    """Return this rank's batches of a share of those that one process would read; of few, some ranks may have none.

    The loader `is_dealt`. `argument` is what the share came from, for errors.
    """
    part, whole = _dealt_by(loader)
    return part.among_first(int(batches_under_limit(len(whole), share, argument)))


def _dealt_by(loader: Any) -> tuple[Part, Sized]:
    """Return what deals out a loader's batches, and something as long as what one process would read."""
    if isinstance(loader, CombinedLoader):
        parts, wholes = zip(*map(_dealt_by, loader.flattened), strict=True)
        return parts[0], CombinedLoader(wholes, loader.mode)
    part = cast(Part, index_sampler(loader))
    return part, range(len(part.sampler))


def _is_in_order(sampler: Any) -> bool:
    """Whether nothing is chosen at random, so that indices need not be held."""
    return type(getattr(sampler, "sampler", None) if type(sampler) is BatchSampler else sampler) is SequentialSampler


def _has_length(indices: object) -> bool:
    return isinstance(indices, Sized) and not math.isinf(length_of(indices))


def _is_distributed(loader: DataLoader[Any]) -> bool:
    """Return whether the user has parted the data already."""
    indices = cast(Any, index_sampler(loader))
    return isinstance(indices, DistributedSampler) or isinstance(getattr(indices, "sampler", None), DistributedSampler)
