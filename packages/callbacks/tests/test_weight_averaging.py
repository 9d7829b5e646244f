"""Averages of weights, against torch's own functions for them."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fulmen_callbacks import EMAWeightAveraging, WeightAveraging
from fulmen_interfaces import ConfigurationError


class Net(nn.Module):
    """With a running mean, and two names for one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 3, bias=False)
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.head.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tied(self.head(self.body(x)))


def without_counter(layer: nn.Module) -> None:
    """Take away what torch cannot average: a whole number."""
    if isinstance(layer, nn.BatchNorm1d):
        layer.num_batches_tracked = None


class Training:
    """A loop in which the callback takes part, and beside it the averaging that torch offers."""

    def __init__(self, callback: WeightAveraging, trainer: Any, truth: dict[str, Any] | None = None) -> None:
        torch.manual_seed(0)
        self.net: Any = Net()
        self.callback, self.trainer = callback, trainer
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.truth = AveragedModel(copy.deepcopy(self.net).apply(without_counter), **(truth or {}))
        callback.setup(trainer, self.net, "fit")

    def start(self) -> Training:
        self.callback.on_fit_start(self.trainer, self.net)
        return self

    def step(self, *, averaged: bool = True, steps: bool = True) -> None:
        torch.manual_seed(100 + self.trainer.global_step)
        self.net(torch.randn(4, 3)).pow(2).mean().backward()
        if steps:
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.trainer.global_step += 1
        self.callback.on_train_batch_end(self.trainer, self.net, None, None, 0)
        if averaged and steps:
            self.truth.update_parameters(copy.deepcopy(self.net).apply(without_counter))

    def average(self) -> dict[str, torch.Tensor]:
        """What torch averages, and the counter of the batch norm, which is copied."""
        average = self.truth.module.state_dict()
        counter = "body.1.num_batches_tracked"
        return {name: average.get(name, self.net.state_dict()[counter]) for name in self.net.state_dict()}

    def checkpoint(self) -> dict[str, Any]:
        state = {name: value.clone() for name, value in self.net.state_dict().items()}
        content: dict[str, Any] = {"state_dict": state, "mine": self.callback.state_dict()}
        self.callback.on_save_checkpoint(self.trainer, self.net, content)
        file = io.BytesIO()
        torch.save(content, file)
        file.seek(0)
        return torch.load(file, weights_only=True)


def same(state: Any, other: Any) -> bool:
    assert list(state) == list(other)
    return all(torch.equal(state[name], other[name]) for name in state)


def close(state: Any, other: Any) -> bool:
    """Compare up to the rounding of one division."""
    assert list(state) == list(other)
    return all(torch.allclose(state[name], other[name], rtol=1e-5, atol=1e-6) for name in state)


RULES: list[tuple[Any, dict[str, Any]]] = [
    (WeightAveraging, {"use_buffers": True}),
    (lambda: WeightAveraging(use_buffers=False), {"use_buffers": False}),
    (lambda: WeightAveraging(device="cpu"), {"use_buffers": True}),
    (
        lambda: WeightAveraging(avg_fn=lambda average, value, count: (average * 3 + value) / 4),
        {"avg_fn": lambda average, value, count: (average * 3 + value) / 4, "use_buffers": True},
    ),
    (lambda: EMAWeightAveraging(decay=0.9), {"multi_avg_fn": get_ema_multi_avg_fn(0.9), "use_buffers": True}),
]


@pytest.mark.parametrize(("make", "truth"), RULES, ids=["mean", "copied buffers", "on a device", "own rule", "EMA"])
def test_the_average_is_torchs(make: Any, truth: dict[str, Any], make_trainer: Any) -> None:
    training = Training(make(), make_trainer(), truth).start()
    for _ in range(5):
        training.step()
    trained = {name: value.clone() for name, value in training.net.state_dict().items()}
    average = training.average()

    training.callback.on_validation_epoch_start(training.trainer, training.net)
    assert close(training.net.state_dict(), average)
    training.callback.on_validation_epoch_end(training.trainer, training.net)
    assert same(training.net.state_dict(), trained)
    training.callback.on_train_end(training.trainer, training.net)
    assert close(training.net.state_dict(), average)


def test_steps_and_epochs_are_chosen(make_trainer: Any) -> None:
    def chosen(callback: WeightAveraging) -> tuple[list[int], list[int]]:
        steps = [step for step in range(8) if callback.should_update(step_idx=step)]
        return steps, [epoch for epoch in range(4) if callback.should_update(epoch_idx=epoch)]

    assert chosen(WeightAveraging()) == (list(range(8)), [])
    assert chosen(EMAWeightAveraging(update_every_n_steps=3)) == ([0, 3, 6], [])
    assert chosen(EMAWeightAveraging(update_every_n_steps=2, update_starting_at_step=3)) == ([4, 6], [])
    assert chosen(EMAWeightAveraging(update_every_n_steps=0, update_starting_at_epoch=2)) == ([], [2, 3])

    class Epochs(WeightAveraging):
        def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
            return epoch_idx is not None and epoch_idx >= 1

    training = Training(Epochs(), make_trainer(), {"use_buffers": True}).start()
    for epoch in range(3):
        training.trainer.current_epoch = epoch
        training.step(averaged=epoch >= 1)
        training.callback.on_train_epoch_end(training.trainer, training.net)
    training.callback.on_train_end(training.trainer, training.net)
    assert close(training.net.state_dict(), training.average())


def test_batches_that_do_not_step_are_not_counted(make_trainer: Any) -> None:
    training = Training(WeightAveraging(), make_trainer()).start()
    for index in range(4):
        training.step(steps=index % 2 == 1)
    assert training.checkpoint()["averaging_state"]["n_averaged"] == 2


def test_a_checkpoint_holds_the_average_and_what_is_trained(make_trainer: Any) -> None:
    training = Training(
        EMAWeightAveraging(decay=0.5), make_trainer(), {"multi_avg_fn": get_ema_multi_avg_fn(0.5), "use_buffers": True}
    ).start()
    for _ in range(3):
        training.step()
    saved = training.checkpoint()
    assert close(saved["state_dict"], training.average())
    assert same(saved["current_model_state"], training.net.state_dict())
    assert saved["averaging_state"] == {"n_averaged": torch.tensor(3)}

    training.callback.on_validation_epoch_start(training.trainer, training.net)
    in_validation = training.checkpoint()
    assert same(in_validation["state_dict"], saved["state_dict"])
    assert same(in_validation["current_model_state"], saved["current_model_state"])


def test_a_resumed_run_is_the_same_run(make_trainer: Any) -> None:
    whole = Training(EMAWeightAveraging(decay=0.5), make_trainer()).start()
    for _ in range(6):
        whole.step()

    first = Training(EMAWeightAveraging(decay=0.5), make_trainer()).start()
    for _ in range(3):
        first.step()
    saved = first.checkpoint()

    second = Training(EMAWeightAveraging(decay=0.5), make_trainer(global_step=3))
    second.callback.on_load_checkpoint(second.trainer, second.net, saved)
    second.callback.load_state_dict(saved["mine"])
    second.net.load_state_dict(saved["state_dict"])
    second.start()
    for _ in range(3):
        second.step()
    assert same(second.checkpoint()["state_dict"], whole.checkpoint()["state_dict"])
    assert same(second.checkpoint()["current_model_state"], whole.checkpoint()["current_model_state"])


def test_evaluations_load_the_average(make_trainer: Any) -> None:
    training = Training(WeightAveraging(), make_trainer()).start()
    training.step()
    saved = training.checkpoint()
    average = dict(saved["state_dict"])
    callback = WeightAveraging()
    callback.setup(training.trainer, training.net, "test")
    callback.on_load_checkpoint(training.trainer, training.net, saved)
    assert same(saved["state_dict"], average)


def test_a_checkpoint_without_average_begins_a_new_one(make_trainer: Any) -> None:
    training = Training(WeightAveraging(), make_trainer())
    with pytest.warns(UserWarning, match="no average"):
        training.callback.on_load_checkpoint(training.trainer, training.net, {"state_dict": training.net.state_dict()})
    training.start().step()
    assert training.checkpoint()["averaging_state"]["n_averaged"] == 1


def test_an_error_in_validation_leaves_the_trained_weights(make_trainer: Any) -> None:
    training = Training(WeightAveraging(), make_trainer()).start()
    training.step()
    training.step()
    trained = {name: value.clone() for name, value in training.net.state_dict().items()}
    training.callback.on_validation_epoch_start(training.trainer, training.net)
    training.callback.on_exception(training.trainer, training.net, RuntimeError())
    assert same(training.net.state_dict(), trained)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="multi_avg_fn"):
        WeightAveraging(avg_fn=lambda a, b, n: a, multi_avg_fn=lambda a, b, n: None)
    with pytest.raises(ConfigurationError, match="update_every_n_steps=-1"):
        EMAWeightAveraging(update_every_n_steps=-1)
