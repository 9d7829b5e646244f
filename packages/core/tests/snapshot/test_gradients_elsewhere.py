"""A strategy whose gradients do not lie in `parameter.grad`: windows that are cut open, and such that end early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_cases import Line, Unsized, differences, loader, trainer, twins
from torch import Tensor
from torch.optim import Optimizer

from fulmen_interfaces import KeepsOwnGradients, PrepareRequest
from fulmen_testing import FakePreparedModel, FakeStrategy


class Drawer(FakePreparedModel):  # type: ignore[misc]
    """Takes gradients away from their parameters until the step."""

    gradients_are_reduced = False

    def __init__(self, request: PrepareRequest, device: torch.device) -> None:
        super().__init__(request, device)
        self.parameters = dict(request.module.named_parameters())
        self.sums: dict[str, Tensor] = {}

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss)
        for name, one in self.parameters.items():
            assert one.grad is not None
            self.sums[name] = one.grad + self.sums[name] if name in self.sums else one.grad
            one.grad = None

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        for name, gradient in self.sums.items():
            self.parameters[name].grad = gradient
        self.sums = {}
        return super().step(optimizer)

    def gradient_parts(self) -> dict[str, Tensor]:
        return {name: one.flatten() if self.gradients_are_reduced else one for name, one in self.sums.items()}

    def load_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        self.sums = {name: gradients[name].reshape(self.parameters[name].shape) for name in gradients}

    def scale_gradients(self, optimizer: Optimizer, factor: float) -> None:
        self.sums = {name: one * factor for name, one in self.sums.items()}


class Reduced(Drawer):
    """Has parts of a mean."""

    gradients_are_reduced = True


class Drawers(FakeStrategy):  # type: ignore[misc]
    def __init__(self, kind: type[Drawer]) -> None:
        super().__init__()
        self.kind = kind

    def prepare(self, request: PrepareRequest) -> FakePreparedModel:
        made = self.kind(request, self.root_device)
        assert isinstance(made, KeepsOwnGradients)
        return made


class Saving(Line):
    path: Path | None = None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 4 and self.path is not None:
            self.trainer.save_checkpoint(self.path)


@pytest.mark.filterwarnings("error:.*gradients")
@pytest.mark.parametrize("kind", [Drawer, Reduced])
def test_a_run_that_was_cut_within_a_window_goes_on_exactly(tmp_path: Path, kind: type[Drawer]) -> None:
    module, other = twins(Saving)
    module.path = tmp_path / "open.ckpt"
    how = {"accumulate_grad_batches": 3, "max_epochs": 2}
    trainer(**how, strategy=Drawers(kind)).fit(module, loader(6))
    trainer(**how, strategy=Drawers(kind)).fit(other, loader(6), ckpt_path=tmp_path / "open.ckpt")
    assert differences(module, other) == []


@pytest.mark.parametrize(("first", "second"), [(None, Drawer), (Reduced, None), (Drawer, Reduced), (Reduced, Drawer)])
def test_strategies_take_each_others_gradients(tmp_path: Path, first: Any, second: Any) -> None:
    module, other = twins(Saving)
    module.path = tmp_path / "open.ckpt"
    how = {"accumulate_grad_batches": 3, "max_epochs": 1}
    trainer(**how, strategy=FakeStrategy() if first is None else Drawers(first)).fit(module, loader(6))
    again = trainer(**how, strategy=FakeStrategy() if second is None else Drawers(second))
    again.fit(other, loader(6), ckpt_path=tmp_path / "open.ckpt")
    assert differences(module, other) == []


def test_a_window_that_ends_unforeseen_has_the_gradients_of_its_size() -> None:
    ours, theirs = twins()
    trainer(strategy=Drawers(Drawer), accumulate_grad_batches=4).fit(ours, Unsized(list(loader(5))))
    plain = twins()[1]
    trainer(strategy=FakeStrategy(), accumulate_grad_batches=4).fit(plain, Unsized(list(loader(5))))
    optimizer, batches = theirs.configure_optimizers(), list(loader(5))
    for window in (batches[:4], batches[4:]):
        optimizer.zero_grad()
        for batch in window:
            (theirs.loss(batch) / len(window)).backward()
        optimizer.step()
    for own, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, expected)
    assert differences(ours, plain) == []
