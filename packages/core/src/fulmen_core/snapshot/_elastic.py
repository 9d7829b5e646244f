"""Going on with another number of processes than wrote the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

from fulmen_core.data import CombinedLoader, Part, index_sampler, is_indexed
from fulmen_core.loop import Counter, Engine, Fit, Phase
from fulmen_interfaces import rank_zero_warn

_BETWEEN = (Phase.BETWEEN_EPOCHS, Phase.EPOCH_ENDED)


def read_per_step(loaders: Any, processes: int) -> dict[str, int]:
    """Return how much all processes together read of an epoch in one batch each, by its unit.

    Samples, where each batch has as many; batches, where they are dealt out whole or several loaders are read; batches
    of each process, where all of them read on their own.
    """
    each = loaders.flattened if isinstance(loaders, CombinedLoader) else [loaders]
    shares = [processes if _is_parted(one) else 1 for one in each]
    if not all(isinstance(one, DataLoader) and is_indexed(one) for one in each) or len(set(shares)) > 1:
        return {"batches of each process": 1}
    batches = index_sampler(each[0])
    if len(each) > 1 or type(batches) is not BatchSampler:
        return {"batches": shares[0]}
    return {"samples": shares[0] * int(batches.batch_size)}


def go_on_elsewhere(engine: Engine, fit: Fit, own: Mapping[str, Any]) -> None:
    """Let an epoch go on behind the samples that were read, as far as whole batches of now allow, and say so."""
    told = (
        f"The checkpoint was written by {len(own['ranks'])} processes and is continued by {engine.world.size}: "
        "weights, optimizers and counters of steps go on exactly, random numbers do not."
    )
    if fit.progress.phase not in _BETWEEN:
        told = f"{told} {_position(engine, fit, own)}"
    rank_zero_warn(told)


def _position(engine: Engine, fit: Fit, own: Mapping[str, Any]) -> str:
    before, now = own.get("read_per_step", {}), read_per_step(fit.cursor.loader, engine.world.size)
    unit = next(iter(before), "")
    if unit not in now:
        unit, before, now = "batches of each process", {"batches of each process": 1}, {"batches of each process": 1}
    batches = fit.progress.batches
    read = batches.processed * before[unit]
    done, again = divmod(read, now[unit])
    fit.progress.batches = Counter(done, done, done, done - (batches.processed - batches.completed))
    fit.cursor.skip(done)
    rest = f", {again} of which are read once more" if again else ""
    return (
        f"The data goes on behind the {read} {unit} of this epoch that were read{rest}; where it is shuffled, what is "
        "left of the epoch comes in another order."
    )


def _is_parted(loader: Any) -> bool:
    """Return whether each process reads other indices."""
    if not isinstance(loader, DataLoader) or not is_indexed(loader):
        return False
    indices: Any = index_sampler(loader)
    return any(isinstance(one, (Part, DistributedSampler)) for one in (indices, getattr(indices, "sampler", None)))
