"""Letting the strategy make models and optimizers ready, for the user's own loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from fulmen_core.fabric._entry import MethodEntry
from fulmen_core.fabric._model import SetUpModel
from fulmen_core.fabric._optimizer_parameters import (
    LATER,
    follow,
    names_by_parameter,
    parameters_by_name,
    same_objects,
    steps_any,
)
from fulmen_core.fabric._session import FabricSession
from fulmen_interfaces import ConfigurationError, PrepareRequest, Problem

OptimizersOver = Callable[[Mapping[str, nn.Parameter]], Sequence[Optimizer]]
"""Makes optimizers over the parameters that are trained, by name."""


def set_up_together(session: FabricSession, module: nn.Module, optimizers: Sequence[Optimizer]) -> SetUpModel:
    """Prepare a module and the optimizers that were made over its parameters. On all ranks."""
    plain = _uncompiled(module)
    names = names_by_parameter(plain)
    for optimizer in optimizers:
        if not steps_any(optimizer, names):
            reason = f"It steps no parameter of the {type(plain).__name__} that it was given together with."
            raise ConfigurationError([Problem("optimizers", type(optimizer).__name__, reason, LATER)])

    def with_parameters(parameters: Mapping[str, nn.Parameter]) -> Sequence[Optimizer]:
        for optimizer in optimizers:
            follow(optimizer, names, parameters)
        return optimizers

    model = _prepared(session, module, with_parameters)
    model.steps_own_optimizers &= same_objects(model.prepared.optimizers, optimizers)
    return _known(model)


def set_up_alone(session: FabricSession, module: nn.Module) -> SetUpModel:
    """Prepare a module whose optimizers are made later, or never. On all ranks.

    Strategies make a model ready for training where they are told of an optimizer. They are told of a stand-in, which
    never steps; those that would make something of it are told of none, so that the model can only be evaluated.
    """

    def with_parameters(parameters: Mapping[str, nn.Parameter]) -> Sequence[Optimizer]:
        trained = list({id(one): one for one in parameters.values() if one.requires_grad}.values())
        return [SGD(trained, lr=0.0)] if trained and session.strategy.spec.late_optimizers else []

    return _known(_prepared(session, module, with_parameters))


def adopt(session: FabricSession, optimizer: Optimizer) -> SetUpModel:
    """Let an optimizer that was made after a model was set up step that model's parameters; return the model.

    Between two steps a strategy may have other parameters in the module than those that are stepped.
    """
    for model in session.models:
        names = {id(one): name for name, one in model.parameters.items()} | names_by_parameter(model.module)
        if not steps_any(optimizer, names):
            continue
        if model.steps_own_optimizers:
            _check_closure(session, optimizer)
            follow(optimizer, names, model.parameters)
            return model
        reason = f"The strategy {session.strategy.spec.name!r} makes a model and its optimizers ready together."
        remedy = "Call `model, optimizer = fabric.setup(model, optimizer)`."
        raise ConfigurationError([Problem("optimizers", type(optimizer).__name__, reason, remedy)])
    reason = (
        "It steps no parameter of any module that was set up. Some strategies replace parameters, so it must be made "
    )
    reason += "afterwards."
    raise ConfigurationError([Problem("optimizers", type(optimizer).__name__, reason, LATER)])


def _check_closure(session: FabricSession, optimizer: Optimizer) -> None:
    """Refuse what computes the loss several times within a step, between which a loss scale cannot be adapted."""
    policy, closure = session.precision.policy, signature(optimizer.step).parameters.get("closure")
    if policy.loss_scaling and closure is not None and closure.default is closure.empty:
        reason = f"It scales the loss, which {type(optimizer).__name__} computes several times within one step."
        remedy = "Use precision='bf16-mixed' or '32-true'."
        raise ConfigurationError([Problem("precision", policy.name, reason, remedy)])


def refuse_elsewhere(module: nn.Module, device: torch.device) -> None:
    """Raise ConfigurationError where a module is not on the device of this process: strategies would move it there."""
    others = sorted({str(one.device) for one in module.parameters() if one.device != device})
    if others:
        reason = f"Every strategy places modules on the device of its process, {device}; this one is on {others[0]}."
        raise ConfigurationError([Problem("move_to_device", False, reason, "Leave the argument out.")])


def _prepared(session: FabricSession, module: nn.Module, with_parameters: OptimizersOver) -> SetUpModel:
    plain = _uncompiled(module)
    entry = MethodEntry(plain, module)
    parameters: dict[str, nn.Parameter] = {}

    def make_optimizers() -> Sequence[Optimizer]:
        parameters.update(parameters_by_name(plain))
        return with_parameters(parameters)

    request = PrepareRequest(module=plain, entry=entry, make_optimizers=make_optimizers, precision=session.precision)
    prepared = session.strategy.prepare(request)
    return SetUpModel(plain, entry, prepared, session, parameters, session.strategy.spec.late_optimizers)


def _known(model: SetUpModel) -> SetUpModel:
    model.guard_backward()
    model.session.add(model)
    return model


def _uncompiled(module: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` was given."""
    original = getattr(module, "_orig_mod", module)  # torch names it nowhere in public
    return original if isinstance(original, nn.Module) else module
