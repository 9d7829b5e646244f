"""How much is computed in a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fulmen_callbacks._problems import at_least, refuse


class _Mark(NamedTuple):
    time: float
    batches: int
    samples: int
    lengths: int | None
    flops: int


class Throughput:
    """Rates over a window of updates, from totals that only grow.

    With `available_flops` (what one device can do in a second, in the precision that is used) the share of it that is
    used is among them, as `mfu`. Rates of all processes are those of this one times `world_size`.
    """

    def __init__(
        self,
        available_flops: float | None = None,
        world_size: int = 1,
        window_size: int = 100,
        separator: str = "/",
    ) -> None:
        refuse([at_least("window_size", window_size, 2), at_least("world_size", world_size, 1)])
        self.available_flops = available_flops
        self.world_size = world_size
        self.separator = separator
        self._window: deque[_Mark] = deque(maxlen=window_size)
        self._flops = 0

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: int | None = None
    ) -> None:
        """Take totals since the start; `flops` alone is that of the last batch. Raises ValueError if one shrinks."""
        self._flops += flops or 0
        mark = _Mark(time, batches, samples, lengths, self._flops)
        if self._window:
            last = self._window[-1]
            for name, before, now in zip(mark._fields, last, mark, strict=True):
                if before is not None and now is not None and now < before:
                    raise ValueError(
                        f"Throughput.update({name}={now}) is below the last total of {before}. Give totals."
                    )
        self._window.append(mark)

    def compute(self) -> dict[str, float]:
        """Return the totals, and rates per second once the window is full."""
        if not self._window:
            return {}
        last = self._window[-1]
        metrics: dict[str, float] = {"time": last.time, "batches": last.batches, "samples": last.samples}
        if last.lengths is not None:
            metrics["lengths"] = last.lengths
        first = self._window[0]
        elapsed = last.time - first.time
        if len(self._window) == self._window.maxlen and elapsed > 0:
            metrics.update(self._rates(first, last, elapsed))
        return metrics

    def reset(self) -> None:
        """Forget everything."""
        self._window.clear()
        self._flops = 0

    def _rates(self, first: _Mark, last: _Mark, elapsed: float) -> dict[str, float]:
        per_device = {
            "batches_per_sec": (last.batches - first.batches) / elapsed,
            "samples_per_sec": (last.samples - first.samples) / elapsed,
        }
        if last.lengths is not None and first.lengths is not None:
            per_device["items_per_sec"] = (last.lengths - first.lengths) / elapsed
        if last.flops > 0:
            per_device["flops_per_sec"] = (last.flops - first.flops) / elapsed
        rates = {f"device{self.separator}{name}": value for name, value in per_device.items()}
        if self.world_size > 1:
            rates.update({name: value * self.world_size for name, value in per_device.items()})
        if self.available_flops and "flops_per_sec" in per_device:
            rates[f"device{self.separator}mfu"] = per_device["flops_per_sec"] / self.available_flops
        return rates


def measure_flops(
    model: nn.Module, forward_fn: Callable[[], Tensor], loss_fn: Callable[[Tensor], Tensor] | None = None
) -> int:
    """Return the floating point operations of one call of `forward_fn`, and of the backward pass from `loss_fn` of it.

    `forward_fn` calls the model with a batch; a model on the "meta" device is counted without computing anything.
    """
    with FlopCounterMode(display=False) as counter:
        output = forward_fn()
        if loss_fn is not None:
            loss_fn(output).backward()  # type: ignore[no-untyped-call]
            model.zero_grad()
    return int(counter.get_total_flops())
