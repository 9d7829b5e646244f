"""What every cell trains, and how far it may end from a plain loop."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import SGD
from torch.utils.data import TensorDataset

from fulmen_core import LightningModule
from fulmen_interfaces import DType, PrecisionPolicy

STEPS, WINDOW, BATCH = 3, 2, 8
"""Optimizer steps, batches in each, and samples in a batch of all devices together."""
LIMIT = 0.05
"""Bound on the norm: the second step's gradients are above it, those of the others below."""
LOSS_SCALE = 1 / 64
"""Losses are small enough for a scaler's first scale in float16, so that no step is left out."""


class Regression(LightningModule):
    """A small network that remembers in which type it computed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 2)
        self.computed_in: set[str] = set()
        self.samples = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        features, targets = batch
        hidden = self.body(features)
        self.computed_in.add(str(hidden.dtype).removeprefix("torch."))
        self.samples += len(features)
        return mse_loss(self.head(torch.tanh(hidden)), targets) * LOSS_SCALE

    def configure_optimizers(self) -> SGD:
        return SGD(self.parameters(), lr=16.0, momentum=0.5)


def data() -> TensorDataset:
    """All samples, in order. Those of the second step are harder."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(STEPS * WINDOW * BATCH, 4, generator=generator)
    targets = torch.stack([features[:, 0] * features[:, 1], features[:, 2].cos()], dim=1)
    targets[WINDOW * BATCH : 2 * WINDOW * BATCH] *= 12
    return TensorDataset(features, targets)


@dataclass(frozen=True)
class Loop:
    """A plain loop in double precision; each field but the defaults is a mistake that a cell must not make."""

    steps: int = STEPS
    limit: float | None = LIMIT
    divisor: int = WINDOW
    """What the sum over a window is divided by."""
    first_batch: int = 0
    """Batches of a window that are left out."""
    every: int = 1
    """Of a batch, each how-manyth sample is used."""

    def weights(self) -> dict[str, Tensor]:
        """Train, and return the weights."""
        module = Regression().double()
        optimizer = module.configure_optimizers()
        parts = [values.double().split(BATCH) for values in data().tensors]
        batches = list(zip(*parts, strict=True))
        for step in range(self.steps):
            for batch in batches[step * WINDOW + self.first_batch : (step + 1) * WINDOW]:
                features, targets = (values[:: self.every] for values in batch)
                loss = mse_loss(module.head(torch.tanh(module.body(features))), targets) * LOSS_SCALE
                (loss / self.divisor).backward()
            if self.limit is not None:
                nn.utils.clip_grad_norm_(module.parameters(), self.limit)
            optimizer.step()
            optimizer.zero_grad()
        return copy.deepcopy(module.state_dict())


MISTAKES = {
    "no clipping": Loop(limit=None),
    "windows are summed": Loop(divisor=1),
    "windows are divided twice": Loop(divisor=WINDOW**2),
    "only the last batch of a window counts": Loop(first_batch=1),
    "only one rank's samples count": Loop(every=2),
    "a step is left out": Loop(steps=STEPS - 1),
}


def deviation(weights: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """Return how far weights are from the true ones, as a part of how far training moved them."""
    start = Regression().double().state_dict()
    moved = max(float((truth[name] - start[name]).abs().max()) for name in truth)
    apart = max(float((weights[name].double() - truth[name]).abs().max()) for name in truth)
    return apart / moved


ROUNDING = {DType.FLOAT64: 2.0**-53, DType.FLOAT32: 2.0**-24, DType.FLOAT16: 2.0**-11, DType.BFLOAT16: 2.0**-8}
"""The largest relative error of one rounding."""


def tolerance(policy: PrecisionPolicy) -> float:
    """Return how far a cell may be from the plain loop in double precision, as a part of what training moves.

    Forward and backward of three steps round some hundred times in the type of computation; the errors are of either
    sign and of parts of the sum only, so that six whole ones are not reached. Where weights are kept in that type,
    each step rounds these, too, which are about as large as their change: two more.
    """
    return roundings(policy) * ROUNDING[policy.compute]


def roundings(policy: PrecisionPolicy) -> int:
    """Return the number of whole rounding errors that are allowed for."""
    return 6 if policy.autocast else 8
