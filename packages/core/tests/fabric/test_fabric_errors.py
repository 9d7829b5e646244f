"""What cannot be done is said with what would work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fabric_cases import Net, cpu, loader, sgd
from torch import nn

from fulmen_core import Fabric, Trainer
from fulmen_interfaces import ConfigurationError, DataError, FulmenError


def two(**arguments: Any) -> Fabric:
    return Fabric(**{"accelerator": "cpu", "devices": 2, "strategy": "ddp", **arguments})


def test_all_wrong_arguments_are_told_at_once_in_the_words_of_fabric() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Fabric(accelerator="cpu", strategy="ddq", devices=2, precision="17", loggers=3, callbacks=[Net], plugins=[1])  # type: ignore[arg-type, list-item]
    told = {problem.argument for problem in caught.value.problems}
    assert told == {"strategy", "precision", "loggers", "callbacks", "plugins"}
    assert "Trainer" not in str(caught.value)
    assert "logger=" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"Fabric\(accelerator=\"cpu\", strategy=\"ddp\", devices=2\)"):
        two(strategy="ddq")
    with pytest.raises(ConfigurationError, match=r"Trainer\("):
        Trainer(accelerator="cpu", strategy="ddq", devices=2)


def test_the_trainers_environment_variables_are_the_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_TRAINER_PRECISION", "64-true")
    assert cpu().plan().precision_spec.name == "32-true"


@pytest.mark.parametrize(
    "use",
    [
        lambda fabric: fabric.setup(Net(), sgd(Net())),
        lambda fabric: fabric.setup_module(Net()),
        lambda fabric: fabric.setup_optimizers(sgd(Net())),
        lambda fabric: fabric.setup_dataloaders(loader()),
        lambda fabric: fabric.barrier(),
        lambda fabric: fabric.all_gather(1),
        lambda fabric: fabric.broadcast(1),
        lambda fabric: fabric.save("path", {}),
        lambda fabric: fabric.load("path"),
        lambda fabric: fabric.backward(torch.ones(())),
    ],
)
def test_several_processes_must_be_launched_first(use: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"before `fabric.launch\(\)`.*Call `fabric.launch\(\)` first"):
        use(two())


def test_what_is_known_before_the_launch_can_be_asked() -> None:
    fabric = two()
    assert (fabric.world_size, fabric.global_rank, fabric.is_global_zero) == (2, 0, True)
    assert fabric.device == torch.device("cpu")
    assert fabric.plan().world_size == 2


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_new_processes_need_a_function(strategy: str) -> None:
    with pytest.raises(ConfigurationError, match=r"must be given one.*def train"):
        two(strategy=strategy).launch()


@pytest.mark.parametrize(("function", "reason"), [(3, "cannot be called"), (lambda: 1, "takes no argument")])
def test_a_function_takes_the_fabric(function: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        cpu().launch(function)


def test_nothing_is_set_up_twice() -> None:
    fabric, module = cpu(), Net()
    own = sgd(module)
    model, optimizer = fabric.setup(module, own)
    data = fabric.setup_dataloaders(loader())
    for again in (
        lambda: fabric.setup(model),
        lambda: fabric.setup_module(model),
        lambda: fabric.setup(Net(), optimizer),
        lambda: fabric.setup_optimizers(optimizer),
        lambda: fabric.setup_dataloaders(data),
    ):
        with pytest.raises(ConfigurationError, match="set up already"):
            again()


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda fabric: fabric.setup(3), r"no `torch.nn.Module`"),
        (lambda fabric: fabric.setup(Net(), 3), r"no `torch.optim.Optimizer`"),
        (lambda fabric: fabric.setup(Net(), sgd(Net())), "steps no parameter of the Net"),
        (lambda fabric: fabric.setup_optimizers(), "There is none"),
        (
            lambda fabric: fabric.setup_optimizers(sgd(Net())),
            "no parameter of any module that was set up.*setup_module",
        ),
        (lambda fabric: fabric.setup_dataloaders(), "There is none"),
        (lambda fabric: fabric.setup(nn.Linear(1, 1, device="meta"), move_to_device=False), "this one is on meta"),
        (lambda fabric: fabric.no_backward_sync(Net()), "was not set up"),
        (lambda fabric: fabric.backward(torch.ones(()), model=Net()), "was not set up"),
        (lambda fabric: fabric.all_reduce(1, reduce_op="median"), "no such reduction"),
        (lambda fabric: fabric.all_reduce(1, reduce_op=torch.distributed.ReduceOp.BAND), "no such reduction"),
    ],
)
def test_wrong_arguments_are_refused(use: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        use(cpu())


@pytest.mark.parametrize("later", [False, True])
def test_a_step_that_repeats_the_loss_is_refused_where_it_is_scaled(later: bool) -> None:
    fabric, module = cpu(precision="16-mixed"), Net()
    model = fabric.setup_module(module) if later else module
    optimizer = torch.optim.LBFGS(model.parameters())
    with pytest.raises(ConfigurationError, match="LBFGS computes"):
        _ = fabric.setup_optimizers(optimizer) if later else fabric.setup(model, optimizer)


def test_gradients_are_bounded_in_one_way() -> None:
    fabric, module = cpu(), Net()
    model, optimizer = fabric.setup(module, sgd(module))
    for arguments in ({}, {"clip_val": 1.0, "max_norm": 1.0}):
        with pytest.raises(ConfigurationError, match="exactly one"):
            fabric.clip_gradients(model, optimizer, **arguments)


def test_data_that_cannot_be_read_and_gradients_of_nothing() -> None:
    with pytest.raises(DataError, match="gives no batches"):
        cpu().setup_dataloaders(3)
    with pytest.raises(FulmenError, match="before any model was set up"):
        cpu().backward(torch.ones(()))


class Holding:
    """A callback whose hook is none."""

    on_hold = 3


def test_a_hook_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no method"):
        cpu(callbacks=Holding()).call("on_hold")
