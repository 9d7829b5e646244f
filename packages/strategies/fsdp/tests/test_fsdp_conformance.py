from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from fulmen_accelerator_cpu import CPU_SPEC
from fulmen_interfaces import ConfigurationError, Placement, PrecisionSpec, PrepareRequest, Strategy
from fulmen_strategy_fsdp import FSDP_SPEC
from fulmen_testing import StrategyConformance


class Twice(SGD):
    """Computes the loss before its step and after it."""

    def step(self, closure):  # type: ignore[no-untyped-def, override]
        first = closure()
        super().step()
        closure()
        return first


class TestConformance(StrategyConformance):
    spec = FSDP_SPEC
    accelerator = CPU_SPEC

    @pytest.mark.xfail(reason="LBFGS strings weights together, which are parts here", raises=ConfigurationError)
    def test_optimizer_that_computes_the_loss_again(
        self, strategy: Strategy, float32: PrecisionSpec, placement: Placement
    ) -> None:
        super().test_optimizer_that_computes_the_loss_again(strategy, float32, placement)

    def test_other_optimizer_that_computes_the_loss_again(
        self, strategy: Strategy, float32: PrecisionSpec, placement: Placement
    ) -> None:
        module = nn.Linear(2, 1)
        request = PrepareRequest(
            module, nn.Sequential(module), lambda: [Twice(module.parameters(), lr=0.1)], float32.create()
        )
        model = strategy.prepare(request)
        optimizer, losses = model.optimizers[0], []

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = model.training_module(torch.ones(1, 2)).pow(2).sum()
            model.backward(loss)
            losses.append(float(loss.detach()))
            return loss

        assert float(model.step(optimizer, closure).detach()) == losses[0]
        assert losses[1] < losses[0]
