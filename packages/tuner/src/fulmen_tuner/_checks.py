"""What can be wrong with a search: its arguments before it, and what it saw afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fulmen_core import LightningModule
from fulmen_interfaces import ConfigurationError, ModuleError, Problem
from fulmen_tuner._sweep import Sweep

_STAGES = ("fit", "validate", "test", "predict")


def check_rates(
    method: str, dataloaders: object, *, min_lr: float, max_lr: float, num_training: int, mode: str
) -> None:
    """Raise ConfigurationError with all that is wrong with a search for a learning rate."""
    problems = []
    if method != "fit":
        problems.append(Problem("method", method, "Learning rates have a meaning in training only.", "Write 'fit'."))
    if dataloaders is not None:
        name = type(dataloaders).__name__
        problems.append(Problem("dataloaders", name, "They are for other methods.", "Write train_dataloaders=..."))
    if not 0 < min_lr < max_lr:
        reason = f"Learning rates go from min_lr to max_lr={max_lr}, and are above 0."
        problems.append(Problem("min_lr", min_lr, reason, "For example min_lr=1e-8, max_lr=1."))
    if num_training < 1:
        problems.append(Problem("num_training", num_training, "That is no number of steps.", "For example 100."))
    if mode not in ("exponential", "linear"):
        problems.append(Problem("mode", mode, "There is no such order.", "Write 'exponential' or 'linear'."))
    _refuse(problems)


def check_sizes(method: str, *, mode: str, margin: float, counts: Mapping[str, int], processes: int) -> None:
    """Raise ConfigurationError with all that is wrong with a search for a batch size.

    `counts` are the arguments that are whole numbers from 1 on, by name.
    """
    problems = []
    if method not in _STAGES:
        problems.append(Problem("method", method, "There is no such stage.", "Write fit, validate, test or predict."))
    if mode not in ("power", "binsearch"):
        problems.append(Problem("mode", mode, "There is no such search.", "Write 'power' or 'binsearch'."))
    if not 0 <= margin < 1:
        problems.append(Problem("margin", margin, "It is a share from 0 to below 1.", "For example 0.05."))
    for name, count in counts.items():
        if count < 1:
            problems.append(Problem(name, count, "It is a whole number from 1 on.", "Leave it out for the default."))
    if processes > 1:
        reason = "A process that lacks memory would leave the others waiting."
        remedy = "Search with devices=1 and the default strategy; the size found is that of each process."
        problems.append(Problem("devices", processes, reason, remedy))
    _refuse(problems)


def refuse_loaders(loaders: Mapping[str, object], name: str) -> None:
    """Raise ConfigurationError where loaders were passed, by argument, in which the attribute has no say."""
    reason = "The batch size of a loader that was made already cannot be changed."
    remedy = f"Make it in `train_dataloader` of module or data module, with batch_size=self.{name}."
    _refuse(Problem(argument, type(given).__name__, reason, remedy) for argument, given in loaders.items())


def check_sweep(sweep: Sweep, model: LightningModule) -> None:
    """Raise ModuleError where a trial run gave nothing to draw a curve of."""
    if not sweep.started:
        raise ModuleError(
            "`lr_find` got nothing back from its trial run, which took place in processes of their own. Use a strategy "
            "whose processes run the whole script, such as 'ddp' instead of 'ddp_spawn'."
        )
    if not sweep.raw:
        raise ModuleError(
            f"`lr_find` saw no finite loss: `{type(model).__name__}.training_step` returned none. "
            "Return the loss from it, under manual optimization, too, and see that it is no NaN."
        )


def _refuse(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise ConfigurationError(found)
