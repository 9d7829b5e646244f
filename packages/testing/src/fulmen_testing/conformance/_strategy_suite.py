"""What the tests of strategies share."""
# ruff: noqa: S101

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
import torch

from fulmen_interfaces import STRATEGIES, AcceleratorSpec, Placement, PrecisionSpec, Strategy, StrategySpec, World
from fulmen_testing._fake_accelerator import FAKE_ACCELERATOR_SPEC
from fulmen_testing.conformance._base import Conformance
from fulmen_testing.conformance._plain_loop import PlainLoop
from fulmen_testing.conformance._precisions import known_precisions, usable_precisions
from fulmen_testing.conformance._scenario import new_model
from fulmen_testing.conformance._training import Prepared, prepare


class StrategySuite(Conformance):
    """The spec, what to train on, and fixtures."""

    role = STRATEGIES
    spec: ClassVar[StrategySpec]
    accelerator: ClassVar[AcceleratorSpec] = FAKE_ACCELERATOR_SPEC
    """The family of devices to train on."""
    tolerances: ClassVar[Mapping[str, float]] = {}
    """Precision's name → largest difference to the plain loop, absolute and relative; 0 where a name is absent."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test once for each precision that can be used."""
        if "precision" in metafunc.fixturenames:
            metafunc.parametrize("precision", self.precisions(), ids=lambda one: one.name)
        if "scaling" in metafunc.fixturenames:
            scaling = [one for one in self.precisions() if one.policy.loss_scaling]
            metafunc.parametrize("scaling", scaling, ids=lambda one: one.name)

    @pytest.fixture
    def placement(self) -> Iterator[Placement]:
        """The first device of the family."""
        probe = self.accelerator.probe()
        if not probe.available:
            pytest.skip(probe.reason)
        accelerator = self.accelerator.create()
        device = accelerator.device(0)
        accelerator.setup(device)
        yield Placement(World(), device, accelerator)
        accelerator.teardown()

    @pytest.fixture
    def strategy(self, plugin: Strategy, placement: Placement) -> Iterator[Strategy]:
        """The strategy, started."""
        plugin.start(placement)
        yield plugin
        plugin.teardown()

    @pytest.fixture
    def float32(self) -> PrecisionSpec:
        """The precision of tests in which precision does not matter."""
        return next(one for one in known_precisions() if one.name == "32-true")

    def precisions(self) -> list[PrecisionSpec]:
        """Return the installed precisions that both specs allow."""
        return usable_precisions(self.spec, self.accelerator)

    def both(self, strategy: Strategy, precision: PrecisionSpec, placement: Placement) -> tuple[Prepared, PlainLoop]:
        """Return the same model twice: made ready by the strategy, and in a plain loop."""
        truth = PlainLoop(precision.policy, placement.device, new_model())
        return prepare(strategy, precision, new_model()), truth

    def assert_same(
        self, actual: Mapping[str, Any], expected: Mapping[str, Any], precision: str, *, tolerance: float | None = None
    ) -> None:
        """Compare two states, to the tolerance of that precision."""
        allowed = self.tolerances.get(precision, 0.0) if tolerance is None else tolerance
        assert list(actual) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close({name: actual[name]}, {name: value}, rtol=allowed, atol=allowed)
