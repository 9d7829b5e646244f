"""What a `LightningModule` offers by itself: modes, copies, toggles, properties outside of runs."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, differences, loader, trainer
from torch import nn

from fulmen_core import LightningModule, LightningOptimizer
from fulmen_core.module import ToggledParameters
from fulmen_interfaces import ModuleError


def flags(module: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in module.parameters()]


def test_freeze_and_unfreeze_switch_gradients_and_mode_and_return_the_module() -> None:
    module = Line()
    assert module.freeze() is module
    assert (flags(module), module.training) == ([False, False], False)
    assert module.unfreeze() is module
    assert (flags(module), module.training) == ([True, True], True)


def test_outside_of_runs_properties_have_plain_values() -> None:
    module = Line()
    assert (module.current_epoch, module.global_step, module.global_rank, module.local_rank) == (0, 0, 0, 0)
    assert module.logger is None
    assert list(module.loggers) == []
    assert (module.device, module.dtype, module.on_gpu) == (torch.device("cpu"), torch.float32, False)
    assert module.example_input_array is None
    assert module.automatic_optimization
    assert module.strict_loading


def test_device_and_type_are_those_of_the_weights() -> None:
    assert Line().double().dtype is torch.float64
    assert Line().to("meta").device == torch.device("meta")

    class Buffered(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("b", torch.zeros(1, device="meta"))

    assert Buffered().device == torch.device("meta")

    class Empty(LightningModule):
        pass

    assert (Empty().device, Empty().dtype) == (torch.device("cpu"), torch.get_default_dtype())


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("trainer", lambda module: module.trainer),
        ("optimizers", lambda module: module.optimizers()),
        ("lr_schedulers", lambda module: module.lr_schedulers()),
        ("all_gather", lambda module: module.all_gather(torch.zeros(1))),
    ],
)
def test_what_belongs_to_a_run_is_refused_outside_with_where_it_works(name: str, use: Any) -> None:
    with pytest.raises(ModuleError, match=rf"`self.{name}` was used, but this Line is not part of a run"):
        use(Line())


def test_steps_that_are_not_defined_say_so_when_they_are_called() -> None:
    class Empty(LightningModule):
        pass

    for step in ("training_step", "validation_step", "test_step"):
        with pytest.raises(ModuleError, match=f"Empty has no `{step}`"):
            getattr(Empty(), step)(None, 0)
    with pytest.raises(ModuleError, match="Empty has no `configure_optimizers`"):
        Empty().configure_optimizers()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_primitives_work_without_a_run() -> None:
    """A user's own loop may call them."""
    module, twin = Line(), Line()
    (batch,) = loader(1)
    optimizer = module.configure_optimizers()
    module.optimizer_zero_grad(0, 0, optimizer)
    module.backward(module.loss(batch))
    module.optimizer_step(0, 0, optimizer)
    plain = twin.configure_optimizers()
    twin.loss(batch).backward()
    plain.step()
    assert differences(module, twin) == []
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    module.lr_scheduler_step(scheduler, None)
    assert optimizer.param_groups[0]["lr"] == 0.05
    module.clip_gradients(optimizer)  # no bound: nothing is done


def test_printing_outside_of_runs_prints(capsys: pytest.CaptureFixture[str]) -> None:
    Line().print("a", 1, sep="-")
    assert capsys.readouterr().out == "a-1\n"


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
@pytest.mark.parametrize("after_fit", [False, True])
def test_a_copy_has_the_weights_and_nothing_of_the_run(how: str, after_fit: bool) -> None:
    module = Line()
    if after_fit:
        trainer().fit(module, loader(2))
    if how == "deepcopy":
        twin = copy.deepcopy(module)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(module))
    else:
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    assert differences(module, twin) == []
    assert twin.layer.weight.data_ptr() != module.layer.weight.data_ptr()
    with pytest.raises(ModuleError):
        _ = twin.trainer
    trainer().fit(twin, loader(1))
    assert differences(module, twin)


def test_a_copy_may_be_made_within_a_run() -> None:
    twins: list[Any] = []

    class Copying(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            twins.append(copy.deepcopy(self))
            return self.loss(batch)

    module = Copying()
    trainer().fit(module, loader(2))
    assert differences(twins[0], Line()) == []
    assert differences(twins[0], twins[1])
    with pytest.raises(ModuleError):
        _ = twins[0].trainer


def test_a_module_says_nothing_of_the_run_in_its_state_and_its_parts() -> None:
    module = Line()
    trainer().fit(module, loader(1))
    assert set(module.state_dict()) == {"layer.weight", "layer.bias"}
    assert [name for name, _ in module.named_modules()] == ["", "layer"]


def test_toggling_leaves_only_one_optimizer_s_parameters_trainable() -> None:
    first, second, shared = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
    one = torch.optim.SGD([first, shared], lr=1.0)
    two = torch.optim.SGD([second, shared, frozen], lr=1.0)
    toggled = ToggledParameters(one, [one, two])
    assert [each.requires_grad for each in (first, shared, second, frozen)] == [True, True, False, False]
    toggled.restore()
    assert [each.requires_grad for each in (first, shared, second, frozen)] == [True, True, True, False]


def test_an_optimizer_as_users_get_it_is_the_optimizer_and_counts() -> None:
    class Manual(Line):
        seen: ClassVar[dict[str, Any]] = {}

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            raw = self.optimizers(use_pl_optimizer=False)
            self.seen = {
                "kind": isinstance(optimizer, LightningOptimizer),
                "raw": optimizer.optimizer is raw is self.trainer.optimizers[0],
                "groups": optimizer.param_groups is raw.param_groups,
                "state": optimizer.state is raw.state,
                "text": "SGD" in repr(optimizer),
            }
            before = self.global_step
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()
            self.seen["counted"] = self.global_step == before + 1
            with pytest.raises(AttributeError):
                _ = optimizer.nothing_like_this

    module = Manual()
    trainer().fit(module, loader(2))
    assert set(module.seen.values()) == {True}


def test_an_optimizer_as_users_get_it_passes_for_its_class() -> None:
    class Scheduled(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.seen: list[Any] = []

        def on_train_start(self) -> None:
            optimizer = self.optimizers()
            self.seen += [isinstance(optimizer, kind) for kind in (torch.optim.SGD, torch.optim.LBFGS)]
            self.scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            self.seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            self.scheduler.step()

    module = Scheduled()
    fitted = trainer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the scheduler would complain of optimizers that it does not see step
        fitted.fit(module, loader(3))
    assert module.seen == [True, False, 0.1, 0.05, 0.025]
    assert fitted.global_step == 3


def test_toggling_twice_and_untoggling_without_are_harmless() -> None:
    class Manual(Line):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(4, 1)
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.layer, self.other)]

        def training_step(self, batch: Any, batch_idx: int) -> None:
            first, second = self.optimizers()
            self.untoggle_optimizer(first)
            self.toggle_optimizer(first)
            self.toggle_optimizer(second)
            self.flags = (self.layer.weight.requires_grad, self.other.weight.requires_grad)
            self.untoggle_optimizer(second)

    module = Manual()
    trainer().fit(module, loader(2))
    assert module.flags == (False, True)
    assert all(flags(module))
