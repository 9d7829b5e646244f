"""Plain loops over the union of what two ranks read, and how far from them a run may end."""

from __future__ import annotations

from typing import Any

import deepspeed_program as program
import pytest
import torch
from torch import nn

TOLERANCES = {"32-true": 2e-6, "bf16-mixed": 2e-3, "bf16-true": 0.02}
"""Adam makes much of the rounding of small gradients."""


class PlainLoop:
    """The same training by torch alone, on batches of six: what two ranks read three each of."""

    def __init__(self, module: Any, precision: str = "32-true", *, clip: float | None = None, window: int = 1) -> None:
        self.module, self.precision, self.clip, self.window = module, precision, clip, window
        if precision == "bf16-true":
            module.to(torch.bfloat16)
        made = module.configure_optimizers()
        self.optimizer = made["optimizer"] if isinstance(made, dict) else made
        self.scheduler: Any = made["lr_scheduler"]["scheduler"] if isinstance(made, dict) else None

    def train(self, batches: range) -> dict[str, list[float]]:
        for number in batches:
            (self.loss(number % 4) / self.window).backward()
            if number % self.window == self.window - 1:
                self.step()
        return program.weights(self.module)

    def loss(self, number: int) -> torch.Tensor:
        features, targets = (values[6 * number : 6 * number + 6] for values in program.samples(24).tensors[1:])
        if self.precision == "bf16-true":
            features, targets = features.bfloat16(), targets.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16-mixed", cache_enabled=False):
            halves = [(self.module(features[part]) - targets[part]).pow(2).mean() for part in (slice(3), slice(3, 6))]
        return (halves[0] + halves[1]) / 2

    def step(self) -> None:
        if self.clip is not None:
            nn.utils.clip_grad_norm_([one for one in self.module.parameters() if one.requires_grad], self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.scheduler is not None:
            self.scheduler.step()


def whole_run(precision: str = "32-true") -> PlainLoop:
    return PlainLoop(program.made(seed=0), precision, clip=program.CLIP, window=program.WINDOW)


def assert_close(actual: dict[str, list[float]], expected: dict[str, list[float]], tolerance: float) -> None:
    assert list(actual) == list(expected)
    for name, values in expected.items():
        assert actual[name] == pytest.approx(values, abs=tolerance), name
