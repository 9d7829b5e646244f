"""What is trained by conformance tests: a small model, its data, its optimizers, and a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Optimizer

from fulmen_interfaces import DType, GradientClipping

Batch = tuple[torch.Tensor, torch.Tensor]
Optimizers = Callable[[nn.Module], Sequence[Optimizer]]

NORM = GradientClipping(0.05)
"""A bound that gradients here always exceed."""

TORCH_DTYPES = {
    DType.FLOAT64: torch.float64,
    DType.FLOAT32: torch.float32,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
}


@final
class SmallModel(nn.Module):
    """Two layers and a buffer."""

    offset: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 2)
        self.register_buffer("offset", torch.full((8,), 0.25))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layers."""
        result: torch.Tensor = self.second(torch.tanh(self.first(x)) + self.offset)
        return result


@final
class StepEntry(nn.Module):
    """What strategies call: its `forward` is the training step."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of one batch."""
        return mse_loss(self.module(x), y)


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    accumulate: int = 1
    clipping: GradientClipping | None = None
    by_closure: bool = False

    def __str__(self) -> str:
        clip = f"clip-{self.clipping.algorithm.value}" if self.clipping else ""
        parts = (clip, f"accumulate-{self.accumulate}" * (self.accumulate > 1), "closure" * self.by_closure)
        return "-".join(filter(None, parts)) or "plain"


def one_sgd(module: nn.Module) -> Sequence[Optimizer]:
    """Return one optimizer over everything."""
    return [SGD(module.parameters(), lr=0.1, momentum=0.9)]


def two_sgds(module: nn.Module) -> Sequence[Optimizer]:
    """Return two optimizers that share the parameters between them."""
    parameters = list(module.parameters())
    return [SGD(parameters[:2], lr=0.1), SGD(parameters[2:], lr=0.2, momentum=0.5)]


def no_optimizers(module: nn.Module) -> Sequence[Optimizer]:
    """Return none, as when a model is evaluated."""
    return []


def new_model(seed: int = 0) -> SmallModel:
    """Return a model whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallModel()


def new_batches(count: int, seed: int = 1) -> list[Batch]:
    """Return batches that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(6, 4, generator=generator), torch.randn(6, 2, generator=generator)) for _ in range(count)]


def copies(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state as it is now."""
    return {name: value.detach().clone() for name, value in state.items()}
