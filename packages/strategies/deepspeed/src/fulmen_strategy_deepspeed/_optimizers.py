"""Which optimizers ZeRO can step."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from fulmen_interfaces import ConfigurationError, Problem, rank_zero_warn

_ONE = "DeepSpeed steps one optimizer"


def check_optimizers(optimizers: Sequence[Optimizer], config: Mapping[str, Any], *, made_by_engine: bool) -> None:
    """Raise ConfigurationError where DeepSpeed cannot step what `configure_optimizers` returned."""
    problems = list(_problems(optimizers, config, made_by_engine=made_by_engine))
    if problems:
        raise ConfigurationError(problems)


def warn_of_slow_steps(optimizers: Sequence[Optimizer], config: Mapping[str, Any]) -> None:
    """Say where an optimizer of DeepSpeed's computes the same, but faster."""
    for optimizer in optimizers if is_offloading(config) else ():
        if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW):
            decoupled = type(optimizer) is torch.optim.AdamW
            rank_zero_warn(
                f"The states of {type(optimizer).__name__} live in the host's memory, where torch steps slowly. "
                f"`deepspeed.ops.adam.DeepSpeedCPUAdam(..., adamw_mode={decoupled})` computes the same faster; it "
                "needs a C++ compiler."
            )


def is_offloading(config: Mapping[str, Any]) -> bool:
    """Return whether the optimizer's states are to leave the device."""
    offload: str = config["zero_optimization"].get("offload_optimizer", {}).get("device", "none")
    return offload != "none"


def _problems(optimizers: Sequence[Optimizer], config: Mapping[str, Any], *, made_by_engine: bool) -> Iterator[Problem]:
    names = [type(one).__name__ for one in optimizers]
    where = "configure_optimizers"
    if len(optimizers) > 1:
        reason = f"{_ONE}, over all parameters that are trained."
        yield Problem(where, names, reason, "Return one with several groups of parameters, or use strategy='ddp'.")
    if optimizers and made_by_engine:
        reason = f"{_ONE}, and the config names {config['optimizer']['type']}, too."
        yield Problem(where, names, reason, "Return None, or take 'optimizer' out of the config.")
    for optimizer, name in zip(optimizers, names, strict=True):
        yield from _cannot_step(optimizer, name, where, config)
        yield from _cannot_offload(optimizer, name, where, config)


def _cannot_step(optimizer: Optimizer, name: str, where: str, config: Mapping[str, Any]) -> Iterator[Problem]:
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        reason = "It computes the loss several times within a step, which the engine cannot do."
        yield Problem(where, name, reason, "Return an optimizer whose `step` needs no closure, or use strategy='ddp'.")
    if isinstance(optimizer, torch.optim.Adagrad):
        reason = "DeepSpeed would make another Adagrad in its place, which schedulers do not reach."
        yield Problem(where, name, reason, "Name Adagrad in the config's 'optimizer', or return another optimizer.")
    idle = [number for number, group in enumerate(optimizer.param_groups) if not _is_trained(group)]
    if not any(one.requires_grad for group in optimizer.param_groups for one in group["params"]):
        reason = "None of its parameters is trained, so there is nothing to divide."
        yield Problem(where, name, reason, "Let some parameters require gradients, or use strategy='ddp'.")
    elif idle and config["zero_optimization"]["stage"] != 3:
        reason = f"None of the parameters of group {idle[0]} is trained, which DeepSpeed cannot divide before stage 3."
        yield Problem(where, name, reason, "Leave the group out, or write stage=3.")


def _cannot_offload(optimizer: Optimizer, name: str, where: str, config: Mapping[str, Any]) -> Iterator[Problem]:
    if is_offloading(config) and config.get("zero_force_ds_cpu_optimizer", False) and not _is_deepspeeds(optimizer):
        reason = "Its states are to live in the host's memory, where the config asks for an optimizer of DeepSpeed's."
        remedy = (
            "Take 'zero_force_ds_cpu_optimizer' out of the config, or return "
            "`deepspeed.ops.adam.DeepSpeedCPUAdam(...)`, which needs a C++ compiler."
        )
        yield Problem(where, name, reason, remedy)


def _is_trained(group: Mapping[str, Any]) -> bool:
    return not group["params"] or any(one.requires_grad for one in group["params"])


def _is_deepspeeds(optimizer: Optimizer) -> bool:
    return type(optimizer).__module__.startswith("deepspeed.")
