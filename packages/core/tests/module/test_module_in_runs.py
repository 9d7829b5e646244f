"""What a `LightningModule` is given by a run: properties, its own callbacks, its own printing and gathering."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, loader, trainer

from fulmen_interfaces import Callback, ModuleError
from fulmen_testing import FakeLogger


class Looking(Line):
    """Keeps what its properties show in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Any, ...]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.shown.append((self.current_epoch, self.global_step, self.device, self.global_rank, self.local_rank))
        self.found = (self.trainer, self.logger, list(self.loggers))
        return self.loss(batch)


def test_properties_within_a_run() -> None:
    logger = FakeLogger()
    module, ready = Looking(), trainer(max_epochs=2, logger=logger)
    ready.fit(module, loader(2))
    cpu = torch.device("cpu")
    assert module.shown == [(0, 0, cpu, 0, 0), (0, 1, cpu, 0, 0), (1, 2, cpu, 0, 0), (1, 3, cpu, 0, 0)]
    assert module.found == (ready, logger, [logger])


def test_properties_after_a_run_are_those_of_the_last() -> None:
    module, ready = Looking(), trainer(max_epochs=2)
    ready.fit(module, loader(2))
    assert module.trainer is ready
    assert (module.current_epoch, module.global_step) == (2, 4)
    assert module.device == torch.device("cpu")
    module.to("meta")
    assert module.device == torch.device("meta")


def test_the_trainer_is_there_in_every_hook_of_set_up() -> None:
    class Early(Line):
        found: ClassVar[list[str]] = []

        def note(self, hook: str) -> None:
            assert self.trainer.max_epochs == 1
            self.found.append(hook)

        def configure_callbacks(self) -> Any:
            self.note("configure_callbacks")
            return []

        def prepare_data(self) -> None:
            self.note("prepare_data")

        def setup(self, stage: str) -> None:
            self.note(f"setup {stage}")

        def configure_model(self) -> None:
            self.note("configure_model")

        def train_dataloader(self) -> Any:
            self.note("train_dataloader")
            return loader(1)

        def teardown(self, stage: str) -> None:
            self.note(f"teardown {stage}")

    trainer().fit(Early())
    assert Early.found == [
        *["configure_callbacks", "prepare_data", "setup fit", "configure_model", "train_dataloader", "teardown fit"]
    ]


def test_parts_made_in_configure_model_are_trained() -> None:
    class Lazy(Line):
        def __init__(self) -> None:
            super().__init__()
            self.layer = None  # type: ignore[assignment]

        def configure_model(self) -> None:
            if self.layer is None:
                torch.manual_seed(0)
                self.layer = torch.nn.Linear(4, 1)

    lazy, plain = Lazy(), Line()
    ready = trainer()
    ready.fit(lazy, loader(2))
    trainer().fit(plain, loader(2))
    assert torch.equal(lazy.layer.weight, plain.layer.weight)
    ready.validate  # noqa: B018 - the same module can be run again: configure_model is called again
    ready.fit(lazy, loader(1))


class Named(Callback):
    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        pl_module.called.append(self.name)


class Other(Named):
    pass


def test_callbacks_of_the_module_replace_those_of_their_class_for_its_runs() -> None:
    class Own(Line):
        def __init__(self, callbacks: Any) -> None:
            super().__init__()
            self.mine = callbacks
            self.called: list[str] = []

        def configure_callbacks(self) -> Any:
            return self.mine

    theirs = [Named("first"), Other("other"), Named("second")]
    ready = trainer(callbacks=theirs)
    module = Own([Named("mine")])
    ready.fit(module, loader(1))
    assert module.called == ["other", "mine"]
    assert [one.name for one in ready.callbacks] == ["other", "mine"]  # type: ignore[attr-defined]
    alone = Own(Named("alone"))
    ready.fit(alone, loader(1))
    assert alone.called == ["other", "alone"]
    extending = Own([Other("extended")])
    ready.fit(extending, loader(1))
    assert extending.called == ["extended"]
    plain = Own([])
    ready.fit(plain, loader(1))
    assert plain.called == ["first", "other", "second"]


def test_printing_within_a_run_prints(capsys: pytest.CaptureFixture[str]) -> None:
    class Printing(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.print("batch", batch_idx)
            return self.loss(batch)

    trainer().fit(Printing(), loader(2))
    assert capsys.readouterr().out == "batch 0\nbatch 1\n"


def test_gathering_on_one_process_adds_a_dimension_of_one() -> None:
    class Gathering(Line):
        gathered: Any = None

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            given = {"x": torch.arange(3), "deep": [torch.tensor(1.5), ("text", torch.zeros(2, 2))]}
            self.gathered = self.all_gather(given)

    module = Gathering()
    trainer().validate(module, loader(1), verbose=False)
    gathered = module.gathered
    assert torch.equal(gathered["x"], torch.arange(3).unsqueeze(0))
    assert gathered["deep"][0].shape == (1,)
    assert gathered["deep"][1][0] == "text"
    assert gathered["deep"][1][1].shape == (1, 2, 2)


def test_gathering_with_gradients_keeps_them() -> None:
    class Gathering(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.all_gather(self.loss(batch), sync_grads=True).mean()

    ours, plain = Gathering(), Line()
    trainer().fit(ours, loader(2))
    trainer().fit(plain, loader(2))
    assert torch.equal(ours.layer.weight, plain.layer.weight)


def test_hooks_given_to_an_object_count_as_overridden() -> None:
    """Tests and notebooks set them on the object, where no class has them."""
    module = Line()
    called: list[str] = []
    module.on_train_start = lambda: called.append("on_train_start")  # type: ignore[method-assign]
    trainer().fit(module, loader(1))
    assert called == ["on_train_start"]


def test_modules_that_are_parts_know_the_run_and_log_in_it() -> None:
    class Part(Line):
        def told(self) -> list[Any]:
            self.log("of_part", float(self.current_epoch))
            return [self.trainer.max_epochs, self.current_epoch, self.global_step, self.logger]

    class Whole(Line):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList([Part()])
            self.told: list[Any] = []

        def configure_model(self) -> None:
            self.late = Part()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.told += [part.told() for part in (self.parts[0], self.late)]
            return self.loss(batch)

    module, logger = Whole(), FakeLogger()
    ready = trainer(max_epochs=2, logger=logger, log_every_n_steps=1)
    ready.fit(module, loader(1))
    assert module.told == [[2, 0, 0, logger]] * 2 + [[2, 1, 1, logger]] * 2
    assert ready.callback_metrics["of_part"] == 1.0
    assert copy.deepcopy(module.parts[0]).current_epoch == 0  # a copy is not part of the run


def test_optimizers_are_there_from_the_start_of_a_fit_on_and_step_later() -> None:
    class Keeping(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.rates: list[float] = []

        def setup(self, stage: str) -> None:
            assert (self.trainer.model, self.trainer.optimizers, self.optimizers()) == (self, [], [])

        def configure_optimizers(self) -> Any:
            assert self.trainer.model is self
            return super().configure_optimizers()

        def on_fit_start(self) -> None:
            self.kept = self.optimizers()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert self.optimizers() is self.kept
            self.rates.append(self.optimizers().param_groups[0]["lr"])

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.kept.zero_grad()
            self.manual_backward(self.loss(batch))
            self.kept.step()

    module, data = Keeping(), loader(2)
    ready = trainer(num_sanity_val_steps=1)
    ready.fit(module, data, loader(1))
    assert ready.global_step == 2
    assert module.rates == [0.1, 0.1]
    truth = Line()
    sgd = torch.optim.SGD(truth.parameters(), lr=0.1)
    for batch in data:
        sgd.zero_grad()
        truth.loss(batch).backward()
        sgd.step()
    assert torch.equal(module.layer.weight, truth.layer.weight)


@pytest.mark.parametrize("call", ["step", "backward"])
def test_training_before_it_begins_is_refused(call: str) -> None:
    class Hasty(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def on_fit_start(self) -> None:
            if call == "step":
                self.optimizers().step()
            else:
                self.manual_backward(self.layer.weight.sum())

    with pytest.raises(ModuleError, match=r"nothing is trained yet.*from `on_train_start` on"):
        trainer().fit(Hasty(), loader(1))


def test_scheduler_handles_in_manual_optimisation() -> None:
    class Manual(Line):
        kinds: ClassVar[list[Any]] = []

        def __init__(self, count: int) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.count = count

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            self.made = [torch.optim.lr_scheduler.StepLR(optimizer, 1) for _ in range(self.count)]
            return [optimizer], self.made

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.handles = self.lr_schedulers()

    for count in range(3):
        module = Manual(count)
        trainer().fit(module, loader(1))
        truth = [None, *module.made][count] if count < 2 else module.made
        assert module.handles is truth if count < 2 else module.handles == truth
