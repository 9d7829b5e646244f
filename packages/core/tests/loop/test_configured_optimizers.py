"""The forms that `configure_optimizers` may return, and what is said about others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from fulmen_core.loop import needs_closure, read_configuration
from fulmen_interfaces import LRSchedulerConfig, ModuleError


def optimizer(lr: float = 0.1) -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def test_every_accepted_form_gives_its_optimizers_and_schedulers() -> None:
    one, two = optimizer(), optimizer()
    first, second = StepLR(one, 1), StepLR(two, 1)
    forms: list[tuple[Any, list[Any], list[Any]]] = [
        (None, [], []),
        (one, [one], []),
        ([one], [one], []),
        ((one, two), [one, two], []),
        (([one, two], []), [one, two], []),
        (([one, two], [first, second]), [one, two], [first, second]),
        (([one], [{"scheduler": first}]), [one], [first]),
        ({"optimizer": one}, [one], []),
        ({"optimizer": one, "lr_scheduler": first}, [one], [first]),
        ({"optimizer": one, "lr_scheduler": {"scheduler": first}}, [one], [first]),
        ({"optimizer": one, "lr_scheduler": None}, [one], []),
        (([one], first), [one], [first]),
        (([one], {"scheduler": first}), [one], [first]),
        ([{"optimizer": one, "lr_scheduler": first}, {"optimizer": two}], [one, two], [first]),
        (({"optimizer": one}, {"optimizer": two, "lr_scheduler": second}), [one, two], [second]),
    ]
    for returned, optimizers, schedulers in forms:
        found, configs = read_configuration(returned)
        assert [id(each) for each in found] == [id(each) for each in optimizers]
        assert [id(config.scheduler) for config in configs] == [id(each) for each in schedulers]
        assert all(config.scheduler.optimizer is found[config.opt_idx] for config in configs)


def test_a_scheduler_s_keys_have_the_known_defaults() -> None:
    one = optimizer()
    _, (config,) = read_configuration({"optimizer": one, "lr_scheduler": StepLR(one, 1)})
    wanted = LRSchedulerConfig(scheduler=config.scheduler, interval="epoch", frequency=1, monitor=None, strict=True)
    assert config == wanted
    assert not config.reduce_on_plateau


def test_a_plateau_scheduler_is_known_as_such() -> None:
    one = optimizer()
    given = {"optimizer": one, "lr_scheduler": {"scheduler": ReduceLROnPlateau(one), "monitor": "loss"}}
    _, (config,) = read_configuration(given)
    assert (config.reduce_on_plateau, config.monitor) == (True, "loss")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda: "adam", r"returned 'adam' \(str\)\. Return one optimizer"),
        (lambda: ["adam"], r"returned 'adam' \(str\) as an optimizer"),
        (lambda: [], r"returned \[\]"),
        (lambda: {}, r"a dict with the keys \[\]\. The keys are 'optimizer'"),
        (lambda: 5, r"returned 5 \(int\)\."),
        (lambda: Adam, "returned the class Adam"),
        (lambda: {"optimiser": optimizer()}, "Did you mean 'optimizer'"),
        (lambda: {"optimizer": optimizer(), "lr_schedular": 1}, "Did you mean 'lr_scheduler'"),
        (lambda: (one := optimizer(), StepLR(one, 1)), "returned StepLR as an optimizer"),
        (lambda: (one := optimizer(), [StepLR(one, 1)]), r"returned \[StepLR\] as an optimizer.*\[optimizers\]"),
        (lambda: ([optimizer()], [StepLR(optimizer(), 1)]), "did not return"),
        (lambda: ([optimizer()], 3), r"3 \(int\) was given as a scheduler"),
        (lambda: with_scheduler(schedule=1), r"the keys \['schedule'\].*Did you mean 'scheduler'"),
        (lambda: with_scheduler(scheduler=None), "needs 'scheduler'"),
        (lambda: with_scheduler(StepLR, intervall="step"), "Did you mean 'interval'"),
        (lambda: with_scheduler(StepLR, interval="batch"), "'batch'; it must be 'epoch' or 'step'"),
        (lambda: with_scheduler(StepLR, frequency=0), "frequency of the scheduler StepLR is 0"),
        (lambda: with_scheduler(StepLR, frequency=1.5), "frequency of the scheduler StepLR is 1.5"),
        (lambda: with_scheduler(ReduceLROnPlateau), "watches a metric, but none is named"),
        (
            lambda: with_scheduler(lambda one, *_: object()),
            "^object was given as a scheduler, but has no step, state_dict",
        ),
    ],
)
def test_other_forms_are_told_with_what_would_work(returned: Any, message: str) -> None:
    with pytest.raises(ModuleError, match=message):
        read_configuration(returned())


def with_scheduler(make: Any = None, **keys: Any) -> Any:
    one = optimizer()
    if make is not None:
        keys["scheduler"] = make(one) if make is ReduceLROnPlateau else make(one, 1)
    return {"optimizer": one, "lr_scheduler": keys}


def test_what_is_wrong_is_told_before_the_first_step() -> None:
    class Wrong(Line):
        batches = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            type(self).batches += 1
            return self.loss(batch)

        def configure_optimizers(self) -> Any:
            return "adam"

    with pytest.raises(ModuleError, match="'adam'"):
        trainer().fit(Wrong(), loader(2))
    assert Wrong.batches == 0


def test_lbfgs_alone_needs_its_closure() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    assert needs_closure(torch.optim.LBFGS(parameters))
    assert not any(needs_closure(kind(parameters, lr=0.1)) for kind in (SGD, Adam, torch.optim.AdamW))
