"""Finetuning, against rates and frozen layers worked out by hand."""

from __future__ import annotations

import copy
import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules

from fulmen_callbacks import BackboneFinetuning, BaseFinetuning
from fulmen_interfaces import ConfigurationError, LRSchedulerConfig, World


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.head = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x))


def optimizer_of(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([one for one in net.parameters() if one.requires_grad], lr=0.1, momentum=0.9)


def train(callback: BaseFinetuning, trainer: Any, net: Any, first: int, last: int) -> list[list[tuple[float, int]]]:
    """One step in each epoch; return the learning rate and size of every group."""
    seen = []
    for epoch in range(first, last):
        trainer.current_epoch = epoch
        callback.on_train_epoch_start(trainer, net)
        torch.manual_seed(epoch)
        net(torch.randn(4, 2)).pow(2).mean().backward()
        for optimizer in trainer.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen.append([(round(group["lr"], 6), len(group["params"])) for group in trainer.optimizers[0].param_groups])
    return seen


def begin(callback: BaseFinetuning, trainer: Any, net: Any) -> None:
    callback.setup(trainer, net, "fit")
    trainer.optimizers = [optimizer_of(net)]
    callback.on_fit_start(trainer, net)


def trained(net: nn.Module) -> list[str]:
    return [name for name, parameter in net.named_parameters() if parameter.requires_grad]


def test_the_backbone_joins_in_as_lightning_lets_it(make_trainer: Any) -> None:
    callback, trainer, net = BackboneFinetuning(unfreeze_backbone_at_epoch=1), make_trainer(), Net()
    begin(callback, trainer, net)
    assert trained(net) == ["backbone.1.weight", "backbone.1.bias", "head.weight", "head.bias"]
    before = net.backbone[0].weight.clone()
    groups = train(callback, trainer, net, 0, 1)
    assert torch.equal(before, net.backbone[0].weight)
    groups += train(callback, trainer, net, 1, 6)
    assert not torch.equal(before, net.backbone[0].weight)
    head = (0.1, 4)
    assert groups == [[head], *[[head, (rate, 2)] for rate in (0.01, 0.02, 0.04, 0.08, 0.1)]]
    assert callback.previous_backbone_lr == pytest.approx(0.1)


def test_rates_of_ones_own(make_trainer: Any) -> None:
    callback = BackboneFinetuning(2, lambda epoch: 1.5, backbone_initial_lr=0.05, should_align=False, train_bn=False)
    trainer, net = make_trainer(), Net()
    begin(callback, trainer, net)
    assert trained(net) == ["head.weight", "head.bias"]
    groups = train(callback, trainer, net, 0, 6)
    assert groups[1:] == [[(0.1, 2)], *[[(0.1, 2), (rate, 2)] for rate in (0.05, 0.075, 0.1125, 0.16875)]]


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_is_the_same_run(stop: int, make_trainer: Any) -> None:
    whole, trainer, net = BackboneFinetuning(2), make_trainer(), Net()
    begin(whole, trainer, net)
    train(whole, trainer, net, 0, 5)

    first, first_trainer, first_net = BackboneFinetuning(2), make_trainer(), Net()
    begin(first, first_trainer, first_net)
    train(first, first_trainer, first_net, 0, stop)
    file = io.BytesIO()
    content = {
        "callbacks": {first.state_key: first.state_dict()},
        "net": first_net.state_dict(),
        "optimizer": first_trainer.optimizers[0].state_dict(),
    }
    torch.save(content, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    second, second_trainer, second_net = BackboneFinetuning(2), make_trainer(), Net()
    second.setup(second_trainer, second_net, "fit")
    second.on_load_checkpoint(second_trainer, second_net, saved)  # type: ignore[arg-type]
    second.load_state_dict(saved["callbacks"][second.state_key])
    second_trainer.optimizers = [optimizer_of(second_net)]
    second_net.load_state_dict(saved["net"])
    second.on_fit_start(second_trainer, second_net)  # type: ignore[arg-type]
    second_trainer.optimizers[0].load_state_dict(saved["optimizer"])
    train(second, second_trainer, second_net, stop, 5)
    expected = net.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second_net.state_dict().items())
    assert trained(second_net) == trained(net)


def test_a_schedule_of_ones_own(make_trainer: Any) -> None:
    class Gradual(BaseFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None:
            self.freeze([pl_module.backbone, {"head": pl_module.head}.values()], train_bn=False)
            self.make_trainable(pl_module.backbone[0])

        def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
            if epoch == 1:
                self.unfreeze_and_add_param_group(pl_module.head, optimizer)

    callback, trainer, net = Gradual(), make_trainer(), Net()
    begin(callback, trainer, net)
    assert trained(net) == ["backbone.0.weight", "backbone.0.bias"]
    assert train(callback, trainer, net, 0, 2) == [[(0.1, 2)], [(0.1, 2), (0.01, 2)]]
    callback.unfreeze_and_add_param_group(net.head, trainer.optimizers[0])
    assert len(trainer.optimizers[0].param_groups) == 2


def test_an_optimizer_that_holds_frozen_layers_is_a_warning() -> None:
    net = Net()
    BaseFinetuning.freeze(net.backbone)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="2 parameters that are to be added to SGD are in it already"):
        BaseFinetuning.unfreeze_and_add_param_group(net.backbone, optimizer)
    assert len(optimizer.param_groups) == 1


def test_layers_are_flattened() -> None:
    class WithOwn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Parameter(torch.zeros(1))
            self.inner = nn.Linear(1, 1)

    module, relu = WithOwn(), nn.ReLU()
    assert BaseFinetuning.flatten_modules(nn.Sequential(module, relu)) == [module, module.inner, relu]
    layers = nn.ModuleDict({"a": nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), "b": nn.ReLU()})
    assert [type(layer) for layer in BaseFinetuning.flatten_modules(layers)] == [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert len(list(BaseFinetuning.filter_params(layers))) == 4
    assert len(list(BaseFinetuning.filter_params(layers, train_bn=False))) == 2
    BaseFinetuning.freeze(layers, train_bn=True)
    assert len(list(BaseFinetuning.filter_params(layers, requires_grad=False))) == 2
    assert layers["a"][1].track_running_stats
    BaseFinetuning.freeze(layers, train_bn=False)
    assert not layers["a"][1].track_running_stats


def test_a_module_without_backbone_is_refused(make_trainer: Any) -> None:
    with pytest.raises(ConfigurationError, match="Linear has no layer of that name"):
        BackboneFinetuning().setup(make_trainer(), nn.Linear(1, 1), "fit")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="freeze_before_training"):
        BaseFinetuning().setup(make_trainer(), nn.Linear(1, 1), "fit")  # type: ignore[arg-type]


def test_strategies_with_optimizers_of_their_own_are_warned_of(make_trainer: Any) -> None:
    callback, trainer, net = BackboneFinetuning(0), make_trainer(world=World(size=2)), Net()
    spec = SimpleNamespace(name="sharded", late_optimizers=False, writable_weights=True)
    trainer.strategy = SimpleNamespace(spec=spec)
    begin(callback, trainer, net)
    with pytest.warns(UserWarning, match="after sharded had made its own"):
        train(callback, trainer, net, 0, 1)
    callback.on_after_backward(trainer, net)  # type: ignore[arg-type]


def test_evaluations_freeze_nothing(make_trainer: Any) -> None:
    callback, net = BackboneFinetuning(), Net()
    callback.setup(make_trainer(), net, "test")  # type: ignore[arg-type]
    assert len(trained(net)) == 6


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: schedules.LambdaLR(optimizer, lambda step: 0.9**step),
        lambda optimizer: schedules.MultiplicativeLR(optimizer, lambda step: 0.9),
        lambda optimizer: schedules.StepLR(optimizer, 3, 0.5),
        lambda optimizer: schedules.CosineAnnealingLR(optimizer, 5),
        lambda optimizer: schedules.OneCycleLR(optimizer, 0.1, total_steps=10),
        lambda optimizer: schedules.CyclicLR(optimizer, 0.01, 0.1, step_size_up=3),
        lambda optimizer: schedules.SequentialLR(
            optimizer,
            [schedules.LinearLR(optimizer, 0.1, total_iters=3), schedules.CosineAnnealingLR(optimizer, 7)],
            [3],
        ),
    ],
    ids=["lambda", "multiplicative", "step", "cosine", "one cycle", "cyclic", "sequential"],
)
@pytest.mark.parametrize("resumed", [False, True], ids=["in one run", "resumed"])
def test_schedulers_go_on_from_the_rates_of_unfrozen_layers(make: Any, resumed: bool, make_trainer: Any) -> None:
    alone = optimizer_of(Net())
    by_hand, scheduler = [], make(alone)
    callback, trainer, net = scheduled(make, make_trainer)
    seen, starts = [], []
    for epoch in range(5):
        if resumed and epoch == 3:
            saved = copy.deepcopy([callback.state_dict(), trainer.optimizers[0].state_dict()])
            saved.append(copy.deepcopy(trainer.lr_scheduler_configs[0].scheduler.state_dict()))
            callback, trainer, net = scheduled(make, make_trainer, saved)
        trainer.current_epoch = epoch
        callback.on_train_epoch_start(trainer, net)
        groups = trainer.optimizers[0].param_groups
        starts.append(groups[-1]["lr"] / groups[0]["lr"])
        for _ in range(2):
            seen.append([group["lr"] for group in groups])
            by_hand.append(alone.param_groups[0]["lr"])
            for optimizer, one in (
                (trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler),
                (alone, scheduler),
            ):
                optimizer.step()
                one.step()
    assert [rates[0] for rates in seen] == pytest.approx(by_hand)
    assert [len(rates) for rates in seen] == [1] * 4 + [2] * 6
    assert [rates[1] for rates in seen[4:]] == pytest.approx([by_hand[at] * starts[at // 2] for at in range(4, 10)])
    assert starts[2] == pytest.approx(0.1)


def scheduled(make: Any, make_trainer: Any, saved: Any = None) -> tuple[BackboneFinetuning, Any, Net]:
    """Begin with a scheduler, or go on from states that were saved."""
    callback, trainer, net = BackboneFinetuning(2), make_trainer(), Net()
    callback.setup(trainer, net, "fit")  # type: ignore[arg-type]
    trainer.optimizers = [optimizer_of(net)]
    trainer.lr_scheduler_configs = [LRSchedulerConfig(make(trainer.optimizers[0]))]
    if saved is not None:
        callback.load_state_dict(saved[0])
    callback.on_fit_start(trainer, net)  # type: ignore[arg-type]
    if saved is not None:
        trainer.optimizers[0].load_state_dict(saved[1])
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(saved[2])
    return callback, trainer, net


def test_only_the_layers_own_parameters_are_frozen_by_name() -> None:
    net = Net()
    BaseFinetuning.freeze_module(net.backbone[0])
    BaseFinetuning.freeze_module(net)
    assert trained(net) == ["backbone.1.weight", "backbone.1.bias", "head.weight", "head.bias"]
