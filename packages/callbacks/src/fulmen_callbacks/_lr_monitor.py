"""Learning rates, momenta and weight decays among the logged metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer

from fulmen_callbacks._problems import one_of, refuse
from fulmen_callbacks._step_clock import StepClock
from fulmen_interfaces import Callback, ModuleView, Problem, TrainerView


@dataclass(frozen=True)
class _Watched:
    """One parameter group and the name that its learning rate is logged under."""

    name: str
    optimizer: Optimizer
    index: int
    intervals: frozenset[str]
    """When its schedulers step; empty where it has none."""

    @property
    def group(self) -> dict[str, Any]:
        found: dict[str, Any] = self.optimizer.param_groups[self.index]
        return found


class LearningRateMonitor(Callback):
    """Log the learning rate of every parameter group, as `lr-Adam`, `lr-Adam-1` for a second optimizer, `lr-SGD/pg2`.

    A group's own `name` takes the place of `pg2`, and the `name` of a scheduler that of `lr-Adam`. Rates are logged
    when they may have changed, at steps or epochs as their schedulers say, or as `logging_interval` says; at steps not
    more often than `log_every_n_steps`. The value is that with which the coming step is made. `log_key_prefix` stands
    before every name.
    """

    def __init__(
        self,
        logging_interval: Literal["step", "epoch"] | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
        log_key_prefix: str | None = None,
    ) -> None:
        refuse([one_of("logging_interval", logging_interval, (None, "step", "epoch"))])
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.log_key_prefix = log_key_prefix or ""
        self.lrs: dict[str, list[float]] = {}
        """All that was logged, by name."""
        self._watched: list[_Watched] = []
        self._clock = StepClock()

    def on_train_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if not trainer.loggers:
            reason = "This run has no logger that could take learning rates."
            refuse([Problem("callbacks", type(self).__name__, reason, "Give the Trainer a logger, or leave it out.")])
        self._watched = list(_watch(trainer, self.log_key_prefix))
        self.lrs = {watched.name: [] for watched in self._watched}
        self._clock = StepClock()

    def on_train_epoch_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self.logging_interval != "step":
            self._log(trainer, pl_module, "any" if self.logging_interval else "epoch")

    def on_train_batch_start(self, trainer: TrainerView, pl_module: ModuleView, batch: Any, batch_idx: int) -> None:
        if self.logging_interval != "epoch" and self._clock.before_batch(trainer) is not None:
            self._log(trainer, pl_module, "any" if self.logging_interval else "step")

    def _log(self, trainer: TrainerView, pl_module: ModuleView, interval: str) -> None:
        """Log the groups whose scheduler steps at that interval, and those that have none."""
        values: dict[str, float] = {}
        for watched in self._watched:
            if interval == "any" or not watched.intervals or interval in watched.intervals:
                values.update(self._values(watched))
                self.lrs[watched.name].append(values[watched.name])
        if not values:
            return
        pl_module.log_dict(values, logger=False)  # for callbacks that watch or name files by it
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer.logging_step)

    def _values(self, watched: _Watched) -> dict[str, float]:
        group = watched.group
        values = {watched.name: float(group["lr"])}
        if self.log_momentum:
            values[f"{watched.name}-momentum"] = float(
                group["betas"][0] if "betas" in group else group.get("momentum", 0)
            )
        if self.log_weight_decay:
            values[f"{watched.name}-weight_decay"] = float(group.get("weight_decay", 0))
        return values


def _watch(trainer: TrainerView, prefix: str) -> Iterator[_Watched]:
    """Name the groups of all optimizers, those with schedulers first."""
    taken: Counter[str] = Counter()
    for (position, name), intervals in _intervals(trainer).items():
        optimizer = trainer.optimizers[position]
        name = name or f"lr-{type(optimizer).__name__}"
        taken[name] += 1
        if taken[name] > 1:
            name = f"{name}-{taken[name] - 1}"
        for index, group_name in enumerate(_group_names(optimizer, name)):
            yield _Watched(prefix + group_name, optimizer, index, frozenset(intervals))


def _intervals(trainer: TrainerView) -> dict[tuple[int, str | None], set[str]]:
    """Return by optimizer and scheduler's name when the schedulers step."""
    intervals: dict[tuple[int, str | None], set[str]] = {}
    for config in trainer.lr_scheduler_configs:
        intervals.setdefault((config.opt_idx, config.name), set()).add(config.interval)
    scheduled = {position for position, _ in intervals}
    return {**intervals, **{(at, None): set() for at in range(len(trainer.optimizers)) if at not in scheduled}}


def _group_names(optimizer: Optimizer, name: str) -> list[str]:
    groups = optimizer.param_groups
    if len(groups) == 1:
        return [name]
    names = [f"{name}/{group.get('name', f'pg{number}')}" for number, group in enumerate(groups, 1)]
    doubled = sorted(name for name, times in Counter(names).items() if times > 1)
    if doubled:
        reason = f"Parameter groups of one optimizer have the same name: {', '.join(doubled)}."
        refuse([Problem("name", doubled[0], reason, "Give every group a name of its own, or none.")])
    return names
