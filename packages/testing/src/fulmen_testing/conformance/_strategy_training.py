"""How a strategy trains."""
# ruff: noqa: S101

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD

from fulmen_interfaces import (
    ClipAlgorithm,
    ConfigurationError,
    GradientClipping,
    Placement,
    PrecisionSpec,
    Strategy,
)
from fulmen_testing._golden import GoldenCase, training_cases
from fulmen_testing.conformance._plain_loop import PlainLoop
from fulmen_testing.conformance._scenario import NORM, Recipe, copies, new_batches, new_model, two_sgds
from fulmen_testing.conformance._strategy_suite import StrategySuite
from fulmen_testing.conformance._training import bound_gradients, loss_and_gradients, prepare, train

VALUE = GradientClipping(0.01, ClipAlgorithm.VALUE)
NO_LIMIT = GradientClipping(1e9)
RECIPES = [Recipe(), Recipe(3), Recipe(1, NORM), Recipe(2, VALUE), Recipe(2, NORM, by_closure=True)]


class StrategyTraining(StrategySuite):
    """Training, beside a plain loop."""

    @pytest.mark.parametrize("recipe", RECIPES, ids=str)
    def test_trains_like_a_plain_loop(
        self, strategy: Strategy, precision: PrecisionSpec, placement: Placement, recipe: Recipe
    ) -> None:
        """If it fails: look for a gradient that is divided, clipped or cleared once too often or not at all."""
        prepared, truth = self.both(strategy, precision, placement)
        train(prepared, new_batches(6), placement.device, recipe)
        truth.train(new_batches(6), recipe)
        self.assert_same(prepared.model.model_state_dict(), truth.module.state_dict(), precision.name)

    def test_two_optimizers_train_like_a_plain_loop(
        self, strategy: Strategy, precision: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: optimizers share one scaler, whose scale may change only after all of them have stepped."""
        prepared = prepare(strategy, precision, new_model(), two_sgds)
        truth = PlainLoop(precision.policy, placement.device, new_model(), two_sgds)
        batches = new_batches(4)
        if precision.policy.loss_scaling:
            batches[1][0][0, 0] = float("inf")
        train(prepared, batches, placement.device, Recipe(1, NORM))
        truth.train(batches, Recipe(1, NORM))
        self.assert_same(prepared.model.model_state_dict(), truth.module.state_dict(), precision.name)

    @pytest.mark.parametrize("case", training_cases(), ids=str)
    def test_golden_training(
        self, strategy: Strategy, float32: PrecisionSpec, placement: Placement, case: GoldenCase
    ) -> None:
        """If it fails: the numbers of `golden/training.json` can be worked out by hand; compare them step by step."""
        given, expected = case.given, case.expected
        module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(module.weight)
        prepared = prepare(
            strategy, float32, module, lambda one: [SGD(one.parameters(), given["lr"], given["momentum"])]
        )
        clipping = GradientClipping(given["clip"][1], ClipAlgorithm(given["clip"][0])) if given["clip"] else None
        recipe = Recipe(given["accumulate"], clipping)
        weights = []
        for start in range(0, len(given["batches"]), recipe.accumulate):
            window = given["batches"][start : start + recipe.accumulate]
            batches = [(torch.full((1, 1), float(x)), torch.full((1, 1), float(y))) for x, y in window]
            train(prepared, batches, placement.device, recipe)
            weights.append(float(prepared.model.model_state_dict()["weight"]))
        assert weights == pytest.approx(expected["weights"], abs=1e-5)
        assert prepared.losses == pytest.approx(expected["losses"], abs=1e-5)
        assert prepared.norms == pytest.approx(expected["norms"], abs=1e-5)

    def test_gradients_can_be_read_before_the_step(
        self, strategy: Strategy, precision: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: `unscale_gradients` must divide by the loss scale once, however often it is called."""
        prepared, truth = self.both(strategy, precision, placement)
        loss_and_gradients(prepared, new_batches(1)[0], placement.device, Recipe())
        (optimizer,) = prepared.model.optimizers
        prepared.model.unscale_gradients(optimizer)
        prepared.model.unscale_gradients(optimizer)
        bound_gradients(prepared, Recipe(1, NO_LIMIT))
        truth.train(new_batches(1), Recipe(1, NO_LIMIT))
        assert prepared.norms == pytest.approx(truth.norms, rel=self.tolerances.get(precision.name, 0))

    def test_step_without_gradients_changes_nothing(self, strategy: Strategy, precision: PrecisionSpec) -> None:
        """If it fails: a step may return no loss; the optimizer is then stepped although nothing was computed."""
        prepared = prepare(strategy, precision, new_model())
        before = copies(prepared.model.model_state_dict())
        (optimizer,) = prepared.model.optimizers
        prepared.model.unscale_gradients(optimizer)
        prepared.model.clip_gradients(optimizer, NO_LIMIT)
        prepared.model.step(optimizer)
        self.assert_same(prepared.model.model_state_dict(), before, precision.name)

    def test_step_with_gradients_that_overflow_is_left_out(
        self, strategy: Strategy, scaling: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: with loss scaling, a step on gradients that are not finite is skipped and the scale lowered."""
        prepared = prepare(strategy, scaling, new_model())
        train(prepared, new_batches(1), placement.device, Recipe())
        before, scale = copies(prepared.model.model_state_dict()), prepared.model.scaler_state_dict()["scale"]
        x, y = new_batches(1)[0]
        train(prepared, [(x * float("inf"), y)], placement.device, Recipe(1, NORM))
        self.assert_same(prepared.model.model_state_dict(), before, scaling.name)
        assert prepared.model.scaler_state_dict()["scale"] < scale

    def test_optimizer_that_computes_the_loss_again(
        self, strategy: Strategy, float32: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: hand the closure on to the optimizer, and return what it returns."""
        prepared = prepare(strategy, float32, new_model(), lambda one: [LBFGS(one.parameters(), max_iter=3)])
        (optimizer,) = prepared.model.optimizers

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            return loss_and_gradients(prepared, new_batches(1)[0], placement.device, Recipe())

        first = prepared.model.step(optimizer, closure)
        assert float(first.detach()) == prepared.losses[0]
        assert len(prepared.losses) > 1
        assert prepared.losses[-1] < prepared.losses[0]

    def test_optimizer_that_computes_the_loss_again_is_refused_under_scaling(
        self, strategy: Strategy, scaling: PrecisionSpec
    ) -> None:
        """If it fails: a scale cannot be adapted within a step; raise ConfigurationError when the model is prepared."""
        with pytest.raises(ConfigurationError, match="LBFGS"):
            prepare(strategy, scaling, new_model(), lambda one: [LBFGS(one.parameters())])
