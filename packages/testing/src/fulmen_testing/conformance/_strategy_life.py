"""How a strategy begins, prepares a model, and ends."""
# ruff: noqa: S101

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fulmen_interfaces import Placement, PrecisionSpec, ReduceOp, Strategy, SupportsModuleInit
from fulmen_testing.conformance._plain_loop import PlainLoop
from fulmen_testing.conformance._scenario import Recipe, new_batches, new_model, no_optimizers, two_sgds
from fulmen_testing.conformance._strategy_suite import StrategySuite
from fulmen_testing.conformance._training import evaluation_loss, prepare, train


class StrategyLife(StrategySuite):
    """Starting, preparing and ending."""

    def test_implements_the_contract(self, plugin: Any) -> None:
        """If it fails: compare the methods and properties of the strategy with those of `Strategy`."""
        assert isinstance(plugin, Strategy)
        assert plugin.spec is self.spec

    def test_teardown_needs_no_start(self, plugin: Strategy) -> None:
        """If it fails: `teardown` is called after errors too; let it free only what there is, and bear two calls."""
        plugin.teardown()
        plugin.teardown()

    def test_serves_run_after_run(self, plugin: Strategy, placement: Placement, float32: PrecisionSpec) -> None:
        """If it fails: a Trainer may fit twice; `teardown` must leave nothing that disturbs the next `start`."""
        states = []
        for _ in range(2):
            plugin.start(placement)
            prepared = prepare(plugin, float32, new_model())
            train(prepared, new_batches(2), placement.device, Recipe())
            states.append(prepared.model.model_state_dict())
            plugin.teardown()
        self.assert_same(states[0], states[1], "32-true")

    def test_says_on_which_device_it_works(self, plugin: Strategy, placement: Placement) -> None:
        """If it fails: `root_device` is what `start` was told, also after the run; before, the host's processor."""
        assert plugin.root_device == torch.device("cpu")
        plugin.start(placement)
        assert plugin.root_device == placement.device
        plugin.teardown()
        assert plugin.root_device == placement.device

    def test_collectives_of_one_process_return_what_they_get(self, strategy: Strategy, placement: Placement) -> None:
        """If it fails: with one process every operation is the identity; `all_reduce` must not change its argument."""
        collectives = strategy.collectives
        tensor = torch.tensor([1.0, 2.0], device=placement.device)
        for operation in ReduceOp:
            assert torch.equal(collectives.all_reduce(tensor, operation), torch.tensor([1.0, 2.0]).to(tensor))
        assert torch.equal(tensor, torch.tensor([1.0, 2.0]).to(tensor))
        assert collectives.all_gather(tensor).shape == (1, 2)
        assert collectives.gather_objects({"a": 1}) == [{"a": 1}]
        assert collectives.broadcast("word") == "word"
        collectives.barrier("conformance")

    def test_optimizers_are_made_once_over_what_is_trained(
        self, strategy: Strategy, precision: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: call `make_optimizers` once, when the parameters are those to be trained, and keep its order."""
        prepared = prepare(strategy, precision, new_model(), two_sgds)
        rates = [optimizer.param_groups[0]["lr"] for optimizer in prepared.model.optimizers]
        assert prepared.times_optimizers_were_made == 1
        assert rates == [0.1, 0.2]
        for parameter in prepared.model.training_module.parameters():
            assert parameter.device == placement.device

    def test_evaluates_without_optimizers(
        self, strategy: Strategy, precision: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: where `make_optimizers` returns nothing, prepare for evaluation alone, without a scaler."""
        prepared = prepare(strategy, precision, new_model(), no_optimizers)
        truth = PlainLoop(precision.policy, placement.device, new_model(), no_optimizers)
        assert list(prepared.model.optimizers) == []
        assert prepared.model.scaler_state_dict() == {}
        with torch.inference_mode():
            loss = evaluation_loss(prepared, new_batches(1)[0], placement.device)
            expected = truth.loss(new_batches(1)[0])
        self.assert_same({"loss": loss}, {"loss": expected}, precision.name)

    def test_modules_are_made_on_the_device(self, strategy: Strategy, placement: Placement) -> None:
        """If it fails: `init_context` must make parameters where they are trained, and leave nothing changed after."""
        if not isinstance(strategy, SupportsModuleInit):
            pytest.skip("not a SupportsModuleInit")
        with strategy.init_context(placement.device):
            made = nn.Linear(3, 2)
        with strategy.init_context(placement.device, empty=True):
            empty = nn.Linear(3, 2)
        assert made.weight.device == placement.device
        assert made.weight.abs().sum() > 0
        assert empty.weight.shape == (2, 3)
        assert nn.Linear(3, 2).weight.device == torch.device("cpu")
