"""Post-local SGD: ranks step by themselves for a while, then average their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.optim import Optimizer

from fulmen_interfaces import ConfigurationError, Problem

_STEPS = "model_averager_steps"
"""Where an optimizer's state holds how many steps the averager has seen; other strategies leave it out."""


def averaging_problems(period: int | None, state: object, hook: object) -> list[Problem]:
    """Return what is wrong with a request for averaging, or with a half of one."""
    local = isinstance(state, PostLocalSGDState)
    problems = []
    if period is not None and period < 1:
        problems.append(Problem("model_averaging_period", period, "It is a number of steps.", "Give 1 or more."))
    if period is not None and not (local and hook is not None):
        reason = "Gradients are averaged in every step, so that weights of ranks never differ."
        remedy = "Pass ddp_comm_state=PostLocalSGDState(...) and ddp_comm_hook=post_localSGD_hook, too."
        problems.append(Problem("model_averaging_period", period, reason, remedy))
    if local and period is None:
        reason = "It lets ranks step by themselves, and nothing says when their weights are averaged."
        problems.append(Problem("ddp_comm_state", state, reason, "Pass model_averaging_period=4, for example."))
    return problems


def average_weights(optimizers: Sequence[Optimizer], period: int, state: object) -> None:
    """Let the ranks' weights be averaged after every `period` steps, once local steps have begun.

    How far that has come is saved with each optimizer. Raises ConfigurationError where it cannot be.
    """
    if not isinstance(state, PostLocalSGDState):
        return
    from torch.distributed.optim import ZeroRedundancyOptimizer  # which imports much

    parted = [one for one in optimizers if isinstance(one, ZeroRedundancyOptimizer)]
    if parted:
        reason = "Its ranks keep different parts of the optimizer, so they cannot step by themselves."
        raise ConfigurationError([Problem("model_averaging_period", period, reason, "Use the optimizer itself.")])
    for optimizer in optimizers:
        _attach(optimizer, period, state)


def _attach(optimizer: Optimizer, period: int, state: PostLocalSGDState) -> None:
    averager = PeriodicModelAverager(period, warmup_steps=state.start_localSGD_iter, process_group=state.process_group)

    def stepped(optimizer: Optimizer, arguments: Any, options: Any) -> None:
        averager.average_parameters(optimizer.param_groups)

    def saved(optimizer: Optimizer, values: dict[str, Any]) -> None:
        values[_STEPS] = averager.step

    def loaded(optimizer: Optimizer, values: dict[str, Any]) -> None:
        averager.step = state.iter = values.get(_STEPS, 0)

    optimizer.register_step_post_hook(stepped)
    optimizer.register_state_dict_post_hook(saved)
    optimizer.register_load_state_dict_pre_hook(loaded)
