"""Pruning, against torch's own functions called by hand."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from fulmen_callbacks import EMAWeightAveraging, ModelPruning, StochasticWeightAveraging
from fulmen_interfaces import ConfigurationError, RunningStage, World


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def targets(net: Net, *names: str) -> list[tuple[nn.Module, str]]:
    return [(net.body[index], name) for name in names for index in (0, 2)]


class EverySecond(prune.BasePruningMethod):
    """A method that knows by itself how much goes."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: torch.Tensor, default_mask: torch.Tensor) -> torch.Tensor:
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


class Training:
    def __init__(self, trainer: Any, **settings: Any) -> None:
        self.trainer, self.net = trainer, Net()
        self.callback = ModelPruning(**settings)
        self.callback.setup(trainer, self.net, "fit")  # type: ignore[arg-type]
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def epochs(self, first: int, last: int) -> None:
        if first == 0:
            self.callback.on_fit_start(self.trainer, self.net)  # type: ignore[arg-type]
        for epoch in range(first, last):
            self.trainer.current_epoch = epoch
            self.callback.on_train_batch_start(self.trainer, self.net, None, 0)  # type: ignore[arg-type]
            self.step(epoch)
            self.callback.on_train_epoch_end(self.trainer, self.net)  # type: ignore[arg-type]

    def step(self, epoch: int) -> None:
        torch.manual_seed(50 + epoch)
        self.net(torch.randn(5, 4)).pow(2).mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def checkpoint(self) -> dict[str, Any]:
        content = {"state_dict": {name: value.clone() for name, value in self.net.state_dict().items()}}
        self.callback.on_save_checkpoint(self.trainer, self.net, content)  # type: ignore[arg-type]
        file = io.BytesIO()
        torch.save(content, file)
        file.seek(0)
        loaded: dict[str, Any] = torch.load(file, weights_only=True)
        return loaded


def weights(net: Net) -> dict[str, torch.Tensor]:
    names = [(index, name) for index in (0, 2) for name in ("weight", "bias")]
    return {f"{index}.{name}": getattr(net.body[index], name).detach().clone() for index, name in names}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("settings", "by_hand"),
    [
        (
            {"pruning_fn": "l1_unstructured", "amount": 0.25},
            lambda net: prune.global_unstructured(targets(net, "weight", "bias"), prune.L1Unstructured, amount=0.25),
        ),
        (
            {"pruning_fn": prune.L1Unstructured, "amount": 5, "parameter_names": ["weight"]},
            lambda net: prune.global_unstructured(targets(net, "weight"), prune.L1Unstructured, amount=5),
        ),
        (
            {"pruning_fn": "l1_unstructured", "use_global_unstructured": False, "parameter_names": ["weight"]},
            lambda net: [prune.l1_unstructured(layer, name, 0.5) for layer, name in targets(net, "weight")],
        ),
        (
            {"pruning_fn": EverySecond},
            lambda net: prune.global_unstructured(targets(net, "weight", "bias"), EverySecond),
        ),
        (
            {"pruning_fn": EverySecond, "use_global_unstructured": False},
            lambda net: [EverySecond.apply(layer, name) for layer, name in targets(net, "weight", "bias")],
        ),
        (
            {
                "pruning_fn": "ln_structured",
                "use_global_unstructured": False,
                "parameter_names": ["weight"],
                "pruning_dim": 0,
                "pruning_norm": 2,
                "amount": 1,
            },
            lambda net: [prune.ln_structured(layer, name, 1, n=2, dim=0) for layer, name in targets(net, "weight")],
        ),
    ],
    ids=["l1 everywhere", "a number of weights", "by layer", "own method", "own method by layer", "rows"],
)
def test_it_prunes_as_torch_does_by_hand(settings: Any, by_hand: Any, make_trainer: Any) -> None:
    training = Training(make_trainer(), use_lottery_ticket_hypothesis=False, **settings)
    training.epochs(0, 3)
    net = Net()
    other = Training(make_trainer(), pruning_fn="l1_unstructured")
    other.net, other.optimizer = net, torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(3):
        other.step(epoch)
        by_hand(net)
    assert same(weights(training.net), weights(net))
    assert any((value == 0).any() for value in weights(net).values())


def test_the_winning_ticket_is_trained_from_its_first_values(make_trainer: Any) -> None:
    training, by_hand = (Training(make_trainer(), pruning_fn="l1_unstructured") for _ in range(2))
    first = weights(training.net)
    training.epochs(0, 2)
    pruned = targets(by_hand.net, "weight", "bias")
    by_hand.step(0)
    prune.global_unstructured(pruned, prune.L1Unstructured, amount=0.5)
    with torch.no_grad():
        for layer, name in pruned:
            at = 0 if layer is by_hand.net.body[0] else 2
            getattr(layer, f"{name}_orig").copy_(first[f"{at}.{name}"])
    by_hand.step(1)
    prune.global_unstructured(pruned, prune.L1Unstructured, amount=0.5)
    assert same(weights(training.net), weights(by_hand.net))
    zeros = sum(int((value == 0).sum()) for value in weights(training.net).values())
    assert zeros == round(51 * 0.5) + round((51 - round(51 * 0.5)) * 0.5)


def test_or_from_new_ones(make_trainer: Any) -> None:
    training = Training(make_trainer(), pruning_fn="l1_unstructured", resample_parameters=True)
    first = weights(training.net)
    training.epochs(0, 1)
    trained = weights(training.net)["0.weight"]
    training.callback.on_train_batch_start(training.trainer, training.net, None, 0)  # type: ignore[arg-type]
    new = weights(training.net)["0.weight"]
    kept = new != 0
    assert torch.equal(kept, trained != 0)
    assert not torch.isin(new[kept], torch.cat([trained[kept], first["0.weight"][kept]])).any()
    assert new.abs().max() <= 0.5


def test_what_is_pruned_can_be_chosen(make_trainer: Any) -> None:
    class OnlyLast(ModelPruning):
        def filter_parameters_to_prune(self, parameters_to_prune: Any = ()) -> Any:
            return parameters_to_prune[-1:]

    trainer, net = make_trainer(), Net()
    callback = OnlyLast("l1_unstructured", parameter_names=["weight"])
    callback.setup(trainer, net, "fit")  # type: ignore[arg-type]
    callback.apply_pruning(0.5)
    callback.make_pruning_permanent(net)
    assert [name for name, value in weights(net).items() if (value == 0).any()] == ["2.weight"]


def test_functions_of_the_epoch_decide(make_trainer: Any) -> None:
    asked: list[int] = []

    def amount(epoch: int) -> float:
        asked.append(epoch)
        return 0.5 if epoch == 1 else 0.0

    training = Training(
        make_trainer(),
        pruning_fn="l1_unstructured",
        amount=amount,
        apply_pruning=lambda epoch: epoch < 3,
        use_lottery_ticket_hypothesis=lambda epoch: False,
    )
    training.epochs(0, 4)
    assert asked == [0, 1, 2, 3]
    assert sum(int((value == 0).sum()) for value in weights(training.net).values()) == round(51 * 0.5)


def test_pruning_becomes_permanent_in_checkpoints_and_at_the_end(make_trainer: Any) -> None:
    training = Training(make_trainer(), pruning_fn="l1_unstructured")
    training.epochs(0, 2)
    pruned = weights(training.net)
    saved = training.checkpoint()
    assert saved["state_dict"].keys() == Net().state_dict().keys()
    assert same({name.removeprefix("body."): value for name, value in saved["state_dict"].items()}, pruned)
    training.callback.on_train_end(training.trainer, training.net)  # type: ignore[arg-type]
    assert training.net.state_dict().keys() == Net().state_dict().keys()
    assert same(weights(training.net), pruned)


def test_without_permanence_masks_stay(make_trainer: Any) -> None:
    training = Training(make_trainer(), pruning_fn="l1_unstructured", make_pruning_permanent=False)
    training.epochs(0, 1)
    assert "body.0.weight_mask" in training.checkpoint()["state_dict"]
    training.callback.on_train_end(training.trainer, training.net)  # type: ignore[arg-type]
    assert "body.0.weight_mask" in training.net.state_dict()


@pytest.mark.parametrize("epochs", [2, 4], ids=["in between", "before weights go back"])
def test_a_resumed_run_is_the_same_run(epochs: int, make_trainer: Any) -> None:
    settings = {
        "pruning_fn": "l1_unstructured",
        "amount": 0.3,
        "use_lottery_ticket_hypothesis": lambda epoch: epoch == 3,
    }
    whole = Training(make_trainer(), **settings)
    whole.epochs(0, 5)
    first = Training(make_trainer(), **settings)
    first.epochs(0, epochs)
    saved = first.checkpoint()

    second = Training(make_trainer(), **settings)
    with torch.no_grad():
        second.callback._initial[0].zero_()  # a process of its own may begin with other weights
    second.callback.on_load_checkpoint(second.trainer, second.net, saved)  # type: ignore[arg-type]
    second.net.load_state_dict(saved["state_dict"])
    second.callback.on_fit_start(second.trainer, second.net)  # type: ignore[arg-type]
    second.epochs(epochs, 5)
    assert same(weights(second.net), weights(whole.net))


def test_pruning_may_follow_validation(make_trainer: Any) -> None:
    training = Training(make_trainer(), pruning_fn="l1_unstructured", prune_on_train_epoch_end=False)
    training.epochs(0, 1)
    training.trainer.running_stage = RunningStage.SANITY_CHECKING
    training.callback.on_validation_epoch_end(training.trainer, training.net)  # type: ignore[arg-type]
    assert all((value != 0).all() for value in weights(training.net).values())
    training.trainer.running_stage = RunningStage.VALIDATING
    training.callback.on_validation_epoch_end(training.trainer, training.net)  # type: ignore[arg-type]
    assert any((value == 0).any() for value in weights(training.net).values())


def test_random_masks_are_those_of_rank_zero(make_trainer: Any, in_ranks: Any) -> None:
    def masks(rank: int, collectives: Any) -> dict[str, torch.Tensor]:
        trainer = make_trainer(world=World(rank=rank, size=2), collectives=collectives)
        net = Net()
        callback = ModelPruning("random_unstructured", resample_parameters=True)
        callback.setup(trainer, net, "fit")  # type: ignore[arg-type]
        callback.on_train_epoch_end(trainer, net)  # type: ignore[arg-type]
        callback.on_train_batch_start(trainer, net, None, 0)  # type: ignore[arg-type]
        return weights(net)

    zero, one = in_ranks(2, masks)
    assert same(zero, one)


def test_sparsity_is_told(make_trainer: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "fulmen")
    training = Training(make_trainer(), pruning_fn="l1_unstructured", amount=10, parameter_names=["weight"], verbose=2)
    training.epochs(0, 1)
    lines = [record.message for record in caplog.records]
    assert lines[0] == "Pruned 10 of what was left: 10 of 42 weights (23.81%) are zero."
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["body.0.weight", "body.2.weight"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pruning_fn": "l1_unstructred"}, "Did you mean 'l1_unstructured'"),
        ({"pruning_fn": nn.Linear}, "no such method"),
        ({"pruning_fn": "ln_structured"}, r"(?s)use_global_unstructured=False.*`pruning_dim`.*`pruning_norm`"),
        ({"pruning_fn": "random_structured", "use_global_unstructured": False}, "`pruning_dim`"),
        ({"pruning_fn": "l1_unstructured", "verbose": 3}, "verbose=3"),
    ],
)
def test_what_cannot_be_is_refused(settings: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        ModelPruning(**settings)


def test_parameters_that_are_not_there_are_refused(make_trainer: Any) -> None:
    with pytest.raises(ConfigurationError, match="Linear has no parameter 'scale'"):
        Training(make_trainer(), pruning_fn="l1_unstructured", parameters_to_prune=[(nn.Linear(1, 1), "scale")])
    with pytest.raises(ConfigurationError, match="No layer has"):
        Training(make_trainer(), pruning_fn="l1_unstructured", parameter_names=["scale"])


def test_evaluations_prune_nothing(make_trainer: Any) -> None:
    callback, net = ModelPruning("l1_unstructured"), Net()
    callback.setup(make_trainer(), net, "validate")  # type: ignore[arg-type]
    callback.on_validation_epoch_end(make_trainer(), net)  # type: ignore[arg-type]
    assert all((value != 0).all() for value in weights(net).values())


def test_averages_that_would_bring_pruned_weights_back_are_refused(make_trainer: Any) -> None:
    pruning, mean = ModelPruning("l1_unstructured"), StochasticWeightAveraging(0.1)
    with pytest.raises(ConfigurationError, match=r"StochasticWeightAveraging.*List it before ModelPruning"):
        pruning.setup(make_trainer(callbacks=[pruning, mean]), Net(), "fit")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"EMAWeightAveraging.*under the names of weights"):
        pruning.setup(make_trainer(callbacks=[EMAWeightAveraging(), pruning]), Net(), "fit")  # type: ignore[arg-type]
    pruning.setup(make_trainer(callbacks=[mean, pruning]), Net(), "fit")  # type: ignore[arg-type]
