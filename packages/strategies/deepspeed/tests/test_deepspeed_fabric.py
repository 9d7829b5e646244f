"""The user's own loop over DeepSpeed's engine, beside the same loop by torch alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fulmen_core import Fabric
from fulmen_strategy_deepspeed import DeepSpeedStrategy

CLIP = 0.3


def new_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    features = [torch.randn(4, 3, generator=generator) for _ in range(6)]
    return [(one, one.sum(1, keepdim=True)) for one in features]


def by_torch() -> dict[str, Tensor]:
    model = new_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for number, (features, targets) in enumerate(batches()):
        ((model(features) - targets).pow(2).mean() / 2).backward()
        if number % 2:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
    return model.state_dict()


@pytest.mark.parametrize("stage", [1, 3])
def test_a_loop_of_the_users_own_trains_and_saves_as_by_torch_alone(stage: int, tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, strategy=DeepSpeedStrategy(stage=stage))  # type: ignore[arg-type]
    fabric.launch()
    own = new_model()
    model, optimizer = fabric.setup(own, torch.optim.AdamW(own.parameters(), lr=0.05))
    for number, (features, targets) in enumerate(batches()):
        with fabric.no_backward_sync(model, enabled=number % 2 == 0):
            fabric.backward((model(features) - targets).pow(2).mean() / 2)
        if number % 2:
            fabric.clip_gradients(model, optimizer, max_norm=CLIP)
            optimizer.step()
            optimizer.zero_grad()
    fabric.save(tmp_path / "model.ckpt", {"model": model})
    saved = torch.load(tmp_path / "model.ckpt", weights_only=True)["model"]
    torch.testing.assert_close(saved, by_torch(), rtol=0, atol=1e-6)
