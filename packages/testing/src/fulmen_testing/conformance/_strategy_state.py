"""What a strategy lets be saved."""
# ruff: noqa: S101

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

from fulmen_interfaces import Placement, PrecisionSpec, Strategy
from fulmen_testing.conformance._scenario import NORM, Recipe, copies, new_batches, new_model
from fulmen_testing.conformance._strategy_suite import StrategySuite
from fulmen_testing.conformance._training import Prepared, prepare, train


class StrategyState(StrategySuite):
    """State, saved and gone on from."""

    def test_model_state_has_the_modules_names(self, strategy: Strategy, precision: PrecisionSpec) -> None:
        """If it fails: strip what wrapping adds, so that files can be read under any strategy, and without one."""
        prepared = prepare(strategy, precision, new_model())
        state = prepared.model.model_state_dict()
        plain = new_model().state_dict()
        assert list(state) == list(plain)
        assert [value.shape for value in state.values()] == [value.shape for value in plain.values()]

    def test_strict_loading_refuses_what_is_absent(self, strategy: Strategy, float32: PrecisionSpec) -> None:
        """If it fails: hand `strict` on to `load_state_dict`."""
        prepared = prepare(strategy, float32, new_model())
        state = copies(prepared.model.model_state_dict())
        del state["first.bias"]
        with pytest.raises(RuntimeError, match=r"first\.bias"):
            prepared.model.load_model_state_dict(state)
        prepared.model.load_model_state_dict(state, strict=False)

    def test_goes_on_from_its_state(self, strategy: Strategy, precision: PrecisionSpec, placement: Placement) -> None:
        """If it fails: weights, optimizer and scaler must come back exactly, also from a file read in safe mode."""
        whole = prepare(strategy, precision, new_model())
        train(whole, new_batches(6), placement.device, Recipe(1, NORM))

        first = prepare(strategy, precision, new_model())
        train(first, new_batches(6)[:3], placement.device, Recipe(1, NORM))
        saved = through_a_file(state_of(first))

        second = prepare(strategy, precision, new_model(seed=7))
        second.model.load_model_state_dict(saved["model"])
        second.model.load_optimizer_state_dict(second.model.optimizers[0], saved["optimizer"])
        second.model.load_scaler_state_dict(saved["scaler"])
        train(second, new_batches(6)[3:], placement.device, Recipe(1, NORM))

        self.assert_same(second.model.model_state_dict(), whole.model.model_state_dict(), "", tolerance=0)
        assert second.model.scaler_state_dict() == whole.model.scaler_state_dict()

    def test_optimizer_state_is_that_of_a_plain_optimizer(
        self, strategy: Strategy, precision: PrecisionSpec, placement: Placement
    ) -> None:
        """If it fails: the state must have the keys and shapes of the optimizer alone, whoever holds the pieces."""
        prepared, truth = self.both(strategy, precision, placement)
        train(prepared, new_batches(3), placement.device, Recipe())
        truth.train(new_batches(3), Recipe())
        state = prepared.model.optimizer_state_dict(prepared.model.optimizers[0])
        plain = truth.optimizers[0].state_dict()
        assert state["param_groups"] == plain["param_groups"]
        assert state["state"].keys() == plain["state"].keys()
        for key, values in plain["state"].items():
            self.assert_same(state["state"][key], values, precision.name)

    def test_run_without_scaler_can_be_gone_on_with(self, strategy: Strategy, precision: PrecisionSpec) -> None:
        """If it fails: a state saved in a precision without loss scaling is empty, and loading it must do nothing."""
        prepared = prepare(strategy, precision, new_model())
        before = prepared.model.scaler_state_dict()
        prepared.model.load_scaler_state_dict({})
        assert prepared.model.scaler_state_dict() == before
        assert bool(before) == precision.policy.loss_scaling


def state_of(prepared: Prepared) -> dict[str, Any]:
    """Return all that a checkpoint holds of a model with one optimizer."""
    model = prepared.model
    return {
        "model": model.model_state_dict(),
        "optimizer": model.optimizer_state_dict(model.optimizers[0]),
        "scaler": model.scaler_state_dict(),
    }


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """Write and read a state in torch's format, without unpickling arbitrary objects."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded
