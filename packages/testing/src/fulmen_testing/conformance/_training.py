"""Training through a prepared model, as the loop of a run does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fulmen_interfaces import PrecisionSpec, PreparedModel, PrepareRequest, Strategy
from fulmen_testing.conformance._scenario import Batch, Optimizers, Recipe, StepEntry, one_sgd


@dataclass
class Prepared:
    """A model that a strategy made ready, and what was asked of it."""

    module: nn.Module
    model: PreparedModel
    times_optimizers_were_made: int = 0
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)


def prepare(
    strategy: Strategy, precision: PrecisionSpec, module: nn.Module, optimizers: Optimizers = one_sgd
) -> Prepared:
    """Let a strategy that was started make a model ready."""
    made: list[int] = []

    def make_optimizers() -> Sequence[Optimizer]:
        made.append(1)
        return optimizers(module)

    request = PrepareRequest(module, StepEntry(module), make_optimizers, precision.create())
    prepared = Prepared(module, strategy.prepare(request))
    prepared.times_optimizers_were_made = len(made)
    return prepared


def train(prepared: Prepared, batches: Iterable[Batch], device: torch.device, recipe: Recipe) -> None:
    """Train as the loop of a run does."""
    model = prepared.model
    for number, batch in enumerate(batches, 1):
        last = number % recipe.accumulate == 0
        with nullcontext() if last else model.no_sync():
            if last and recipe.by_closure:
                step_by_closure(prepared, batch, device, recipe)
                continue
            loss_and_gradients(prepared, batch, device, recipe)
        if last:
            bound_gradients(prepared, recipe)
            for optimizer in model.optimizers:
                model.step(optimizer)
                optimizer.zero_grad()


def step_by_closure(prepared: Prepared, batch: Batch, device: torch.device, recipe: Recipe) -> None:
    """Step the one optimizer in the way of an optimizer that computes the loss itself."""
    (optimizer,) = prepared.model.optimizers

    def closure() -> torch.Tensor:
        loss = loss_and_gradients(prepared, batch, device, recipe)
        bound_gradients(prepared, recipe)
        return loss

    prepared.model.step(optimizer, closure)
    optimizer.zero_grad()


def loss_and_gradients(prepared: Prepared, batch: Batch, device: torch.device, recipe: Recipe) -> torch.Tensor:
    """Run forward and backward of one batch."""
    loss = call(prepared.model, prepared.model.training_module, batch, device)
    prepared.losses.append(float(loss.detach()))
    loss = loss / recipe.accumulate
    prepared.model.backward(loss)
    return loss


def evaluation_loss(prepared: Prepared, batch: Batch, device: torch.device) -> torch.Tensor:
    """Return the loss of one batch through the module for evaluation."""
    return call(prepared.model, prepared.model.evaluation_module, batch, device)


def call(model: PreparedModel, module: nn.Module, batch: Batch, device: torch.device) -> torch.Tensor:
    """Run one step as the loop of a run does: converted inputs, in the context that the model asks for."""
    moved: Any = tuple(tensor.to(device) for tensor in batch)
    inputs = model.input_conversion(moved) if model.input_conversion else moved
    with model.forward_context() if model.forward_context else nullcontext():
        loss: torch.Tensor = module(*inputs)
    return loss


def bound_gradients(prepared: Prepared, recipe: Recipe) -> None:
    """Clip the gradients of every optimizer, where that is asked for."""
    if recipe.clipping is None:
        return
    for optimizer in prepared.model.optimizers:
        norm = prepared.model.clip_gradients(optimizer, recipe.clipping)
        if norm is not None:
            prepared.norms.append(float(norm))
