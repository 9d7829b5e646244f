"""Strategies with one defect each, and the test that must find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from fulmen_interfaces import Placement, PrepareRequest, SingleProcessCollectives
from fulmen_testing import FAKE_STRATEGY_SPEC, FakePreparedModel, FakeStrategy, StrategyConformance


class Model(FakePreparedModel):
    pass


class Defective(FakeStrategy):
    model: type[FakePreparedModel] = FakePreparedModel

    @property
    def spec(self) -> Any:
        return SPECS[type(self)]

    def prepare(self, request: PrepareRequest) -> FakePreparedModel:
        return self.model(request, self._device)


class HalvesGradients(Defective):
    class model(Model):
        def backward(self, loss: Any, *args: Any, **kwargs: Any) -> None:
            (loss / 2).backward()


class ForgetsToClip(Defective):
    class model(Model):
        def clip_gradients(self, optimizer: Any, clipping: Any) -> None:
            return None


class ClearsGradientsTooEarly(Defective):
    class model(Model):
        def no_sync(self) -> Any:
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            return super().no_sync()


class DropsTheClosure(Defective):
    class model(Model):
        def step(self, optimizer: Any, closure: Any = None) -> Any:
            if closure is not None:
                closure()
            return optimizer.step(lambda: torch.tensor(0.0))


class UnscalesTwice(Defective):
    class model(Model):
        def unscale_gradients(self, optimizer: Any) -> None:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad /= 2


class PrefixesNames(Defective):
    class model(Model):
        def model_state_dict(self) -> dict[str, Any]:
            return {f"module.{name}": value for name, value in super().model_state_dict().items()}


class IgnoresStrict(Defective):
    class model(Model):
        def load_model_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
            super().load_model_state_dict(state, strict=False)


class ForgetsOptimizerState(Defective):
    class model(Model):
        def load_optimizer_state_dict(self, optimizer: Any, state: Any) -> None:
            pass


class FlatOptimizerState(Defective):
    class model(Model):
        def optimizer_state_dict(self, optimizer: Any) -> dict[str, Any]:
            return {"param_groups": [], "state": {}}


class MakesOptimizersTwice(Defective):
    class model(Model):
        def __init__(self, request: PrepareRequest, device: Any) -> None:
            request.make_optimizers()
            super().__init__(request, device)


class ReversesOptimizers(Defective):
    class model(Model):
        @property
        def optimizers(self) -> Any:
            return super().optimizers[::-1]


class EvaluatesInDouble(Defective):
    class model(Model):
        @property
        def evaluation_module(self) -> Any:
            return lambda x, y: super(Model, self).evaluation_module.double()(x.double(), y.double())


class ReducesInPlace(Defective):
    class Collectives(SingleProcessCollectives):
        def all_reduce(self, tensor: Any, op: Any = None, *, group: Any = None) -> Any:
            return tensor.mul_(2)

    collectives = Collectives()


class TeardownNeedsStart(Defective):
    def start(self, placement: Placement) -> None:
        self.group = 1
        super().start(placement)

    def teardown(self) -> None:
        del self.group


class StartsOnce(Defective):
    def start(self, placement: Placement) -> None:
        if "start" in self.calls:
            raise RuntimeError("started already")
        super().start(placement)


class NotAStrategy:
    spec = FAKE_STRATEGY_SPEC


FOUND_BY = {
    HalvesGradients: "test_golden_training[sgd]",
    ForgetsToClip: "test_trains_like_a_plain_loop[32-true-clip-norm]",
    ClearsGradientsTooEarly: "test_trains_like_a_plain_loop[32-true-accumulate-3]",
    DropsTheClosure: "test_optimizer_that_computes_the_loss_again",
    UnscalesTwice: "test_gradients_can_be_read_before_the_step[32-true]",
    PrefixesNames: "test_model_state_has_the_modules_names[32-true]",
    IgnoresStrict: "test_strict_loading_refuses_what_is_absent",
    ForgetsOptimizerState: "test_goes_on_from_its_state[32-true]",
    FlatOptimizerState: "test_optimizer_state_is_that_of_a_plain_optimizer[32-true]",
    MakesOptimizersTwice: "test_optimizers_are_made_once_over_what_is_trained[32-true]",
    ReversesOptimizers: "test_optimizers_are_made_once_over_what_is_trained[32-true]",
    EvaluatesInDouble: "test_evaluates_without_optimizers[32-true]",
    ReducesInPlace: "test_collectives_of_one_process_return_what_they_get",
    TeardownNeedsStart: "test_teardown_needs_no_start",
    StartsOnce: "test_serves_run_after_run",
    NotAStrategy: "test_implements_the_contract",
}
SPECS = {broken: replace(FAKE_STRATEGY_SPEC, create=broken) for broken in FOUND_BY}

for broken in FOUND_BY:
    name = f"Test{broken.__name__}"
    globals()[name] = type(name, (StrategyConformance,), {"spec": SPECS[broken], "__module__": __name__})
EXPECTED = {f"Test{broken.__name__}": test for broken, test in FOUND_BY.items()}
