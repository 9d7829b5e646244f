"""How the devices are doing, among the logged metrics."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fulmen_callbacks._problems import refuse
from fulmen_callbacks._step_clock import StepClock
from fulmen_interfaces import (
    Callback,
    ModuleView,
    Problem,
    SupportsAccelerator,
    SupportsDeviceStats,
    TrainerView,
    did_you_mean,
    rank_zero_warn,
)


class DeviceStatsMonitor(Callback):
    """Log what the accelerator tells of its device, before and after batches whose step metrics are logged.

    On other devices than CPUs `cpu_stats=True` adds the load of the machine (with psutil); on CPUs `cpu_stats=False`
    leaves it out. `filter_keys` names the figures to log, all of them by default. Names are those of the accelerator,
    after the hook in which they were taken: `DeviceStatsMonitor.on_train_batch_end/memory_allocated_bytes`.
    """

    def __init__(self, cpu_stats: bool | None = None, filter_keys: Collection[str] | None = None) -> None:
        self._cpu_stats = cpu_stats
        self._filter_keys = None if filter_keys is None else frozenset(filter_keys)
        self._starts, self._ends = StepClock(), StepClock()
        self._checked = False

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._starts, self._ends = StepClock(), StepClock()
        self._checked = False
        if stage == "fit" and not trainer.loggers:
            reason = "This run has no logger that could take the figures."
            refuse([Problem("callbacks", type(self).__name__, reason, "Give the Trainer a logger, or leave it out.")])

    def on_train_batch_start(self, trainer: TrainerView, pl_module: ModuleView, batch: Any, batch_idx: int) -> None:
        step = self._starts.before_batch(trainer)
        if step is not None:
            self._log(trainer, "on_train_batch_start", step)

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = self._ends.after_batch(trainer)
        if step is not None:
            self._log(trainer, "on_train_batch_end", step)

    def _log(self, trainer: TrainerView, hook: str, step: int) -> None:
        if not trainer.is_global_zero:
            return
        stats = self._stats(trainer)
        for logger in trainer.loggers if stats else ():
            prefix = f"{type(self).__qualname__}.{hook}{logger.group_separator}"
            logger.log_metrics({prefix + name: value for name, value in stats.items()}, step=step)

    def _stats(self, trainer: TrainerView) -> dict[str, float]:
        device = trainer.root_device
        on_cpu = device.type == "cpu"
        stats: dict[str, float] = {}
        accelerator = trainer.accelerator if isinstance(trainer, SupportsAccelerator) else None
        if isinstance(accelerator, SupportsDeviceStats) and not (on_cpu and self._cpu_stats is False):
            stats.update(accelerator.stats(device))
        if self._cpu_stats and not on_cpu:
            stats.update(_machine_stats())
        return stats if self._filter_keys is None else self._chosen(stats, self._filter_keys)

    def _chosen(self, stats: dict[str, float], keys: frozenset[str]) -> dict[str, float]:
        if not self._checked:
            self._checked = True
            for key in sorted(keys.difference(stats)):
                hint = did_you_mean(key, stats) or f"There are {', '.join(sorted(stats)) or 'none'}."
                rank_zero_warn(f"DeviceStatsMonitor(filter_keys=...): there is no figure {key!r}. {hint}")
        return {key: value for key, value in stats.items() if key in keys}


def _machine_stats() -> dict[str, float]:
    try:
        import psutil
    except ImportError as error:
        raise ImportError(
            "DeviceStatsMonitor(cpu_stats=True) reads the machine's load with psutil, which is not installed. "
            "`pip install psutil` brings it; with cpu_stats=False it is not needed."
        ) from error
    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_vm_percent": psutil.virtual_memory().percent,
        "cpu_swap_percent": psutil.swap_memory().percent,
    }
