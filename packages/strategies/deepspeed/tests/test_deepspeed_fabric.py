"""The user's own loop over DeepSpeed's engine, beside the same loop by torch alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fulmen_core import Fabric
from fulmen_interfaces import ModuleError
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


def play(by_fabric: Fabric | None) -> nn.Module:
    """Train a generator against a critic, which is frozen while the generator learns; return the generator."""
    torch.manual_seed(2)
    made, judged = nn.Linear(2, 3), nn.Linear(3, 1)
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in (made, judged)]
    models: list[nn.Module] = [made, judged]
    if by_fabric is not None:
        for number in (0, 1):
            models[number], optimizers[number] = by_fabric.setup(models[number], optimizers[number])
    generator, critic = models
    for number, (real, _) in enumerate(batches()):
        noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(number))
        critic_loss = critic(generator(noise).detach()).sigmoid().mean() - critic(real).sigmoid().mean()
        step(by_fabric, critic_loss, critic, optimizers[1])
        critic.requires_grad_(False)
        step(by_fabric, -critic(generator(noise)).sigmoid().mean(), generator, optimizers[0])
        critic.requires_grad_(True)
    return generator


def step(by_fabric: Fabric | None, loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    if by_fabric is None:
        loss.backward()
    else:
        by_fabric.backward(loss, model=model)
    optimizer.step()


@pytest.mark.parametrize("stage", [2, 3])
def test_models_are_trained_against_each_other_where_one_is_frozen(stage: int, tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, strategy=DeepSpeedStrategy(stage=stage))  # type: ignore[arg-type]
    fabric.launch()
    fabric.save(tmp_path / "generator.ckpt", {"model": play(fabric)})
    saved = torch.load(tmp_path / "generator.ckpt", weights_only=True)["model"]
    torch.testing.assert_close(saved, dict(play(None).state_dict()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stage", [2, 3])
def test_gradients_of_another_models_loss_are_refused(stage: int) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, strategy=DeepSpeedStrategy(stage=stage))  # type: ignore[arg-type]
    fabric.launch()
    generator, critic = nn.Linear(2, 3), nn.Linear(3, 1)
    learns, _ = fabric.setup(generator, torch.optim.SGD(generator.parameters(), lr=0.1))
    judges, _ = fabric.setup(critic, torch.optim.SGD(critic.parameters(), lr=0.1))
    with pytest.raises(ModuleError, match="requires_grad_"):
        fabric.backward(judges(learns(torch.ones(1, 2))).mean(), model=learns)
