"""Ctrl-C, SIGTERM and errors: the batch is finished, hooks are called, handlers return, a checkpoint is exact."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint
from fulmen_interfaces import Callback

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
both_signals = pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
pytestmark = pytest.mark.filterwarnings("ignore:The checkpoint holds states of callbacks")

PLACES = {
    "training": ("train", 3),
    "the last batch of an epoch": ("train", 5),
    "an open accumulation window": ("train", 4),
    "validation": ("validate", 2),
    "the last batch of validation": ("validate", 3),
}
"""Where a signal comes: which step, and how many of its kind ran before."""


class Net(L.LightningModule):
    """Trains with random numbers; `happens` is called at one step with what is to happen there."""

    def __init__(self, place: tuple[str, int] | None = None, happens: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 1))
        self.place, self.happens = place, happens
        self.steps: dict[str, int] = {"train": 0, "validate": 0, "check": 0, "test": 0, "predict": 0}
        self.called: list[str] = []

    def step(self, kind: str, batch: Any) -> torch.Tensor:
        if self.place == (kind, self.steps[kind]) and self.happens is not None:
            self.happens()
        self.steps[kind] += 1
        x, y = batch
        return mse_loss(self.net(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.step("train", batch)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss = self.step("check" if self.trainer.sanity_checking else "validate", batch)
        self.log("val_loss", loss + torch.rand(()))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.step("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.step("predict", batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def on_train_batch_end(self, *args: Any) -> None:
        self.called.append("batch_end")

    def teardown(self, stage: str) -> None:
        self.called.append(f"teardown {stage}")


class Data(L.LightningDataModule):
    """Six training batches and two validation batches."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def train_dataloader(self) -> Any:
        return loader(24, shuffle=True)

    def val_dataloader(self) -> Any:
        return loader(8)

    def test_dataloader(self) -> Any:
        return loader(8)

    def predict_dataloader(self) -> Any:
        return loader(8)

    def on_exception(self, exception: BaseException) -> None:
        self.called.append(f"on_exception {type(exception).__name__}")

    def teardown(self, stage: str) -> None:
        self.called.append(f"teardown {stage}")


class Watcher(Callback):
    """Keeps what ended the run."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.called: list[str] = []

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.errors.append(exception)
        self.called.append("on_exception")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.called.append(f"teardown {stage}")


def loader(samples: int, **options: Any) -> DataLoader[Any]:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(samples))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4, **options)


def make_trainer(*callbacks: Callback, **arguments: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet["enable_checkpointing"] = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    settings = {"max_epochs": 2, "accumulate_grad_batches": 2, "val_check_interval": 3, **quiet, **arguments}
    return L.Trainer(callbacks=list(callbacks), **settings)


def saves_on_exception(folder: Path) -> ModelCheckpoint:
    """Return a callback that saves for nothing else."""
    return ModelCheckpoint(dirpath=folder, every_n_epochs=100, save_on_exception=True)


def sends(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    """Every test ends with the handlers with which it began."""
    before = [signal.getsignal(number) for number in CODES]
    yield
    assert [signal.getsignal(number) for number in CODES] == before


def fit(module: Net, trainer: L.Trainer, **options: Any) -> None:
    L.seed_everything(11, verbose=False)
    module.load_state_dict(Net().state_dict())
    trainer.fit(module, datamodule=Data(), **options)


@both_signals
@pytest.mark.parametrize("place", PLACES)
def test_the_run_ends_in_order_and_its_checkpoint_goes_on_exactly(
    place: str, number: signal.Signals, tmp_path: Path
) -> None:
    whole = Net()
    fit(whole, make_trainer())

    kind, before = PLACES[place]
    module, watcher = Net((kind, before), sends(number)), Watcher()
    trainer = make_trainer(watcher, saves_on_exception(tmp_path))
    with pytest.raises(SystemExit) as ended:
        fit(module, trainer)
    assert ended.value.code == CODES[number]
    assert module.steps[kind] == before + 1  # that batch was finished, and none came after it
    assert module.called.count("batch_end") == module.steps["train"]
    assert module.called[-1] == "teardown fit"
    assert watcher.called == ["on_exception", "teardown fit"]
    assert trainer.datamodule.called == [f"on_exception {type(watcher.errors[0]).__name__}", "teardown fit"]
    assert isinstance(watcher.errors[0], KeyboardInterrupt if number == signal.SIGINT else SystemExit)
    assert trainer.interrupted
    assert trainer.received_sigterm

    (file,) = tmp_path.glob("*.ckpt")
    resumed = Net()
    goes_on = make_trainer()
    fit(resumed, goes_on, ckpt_path=file)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    assert goes_on.global_step == 6


@both_signals
def test_it_ends_during_the_sanity_check(number: signal.Signals) -> None:
    module, watcher = Net(("check", 0), sends(number)), Watcher()
    with pytest.raises(SystemExit) as ended:
        fit(module, make_trainer(watcher))
    assert ended.value.code == CODES[number]
    assert module.steps == {"train": 0, "validate": 0, "check": 1, "test": 0, "predict": 0}
    assert watcher.called == ["on_exception", "teardown fit"]


def test_a_resumed_run_that_is_cut_in_its_sanity_check_loses_nothing(tmp_path: Path) -> None:
    whole = Net()
    fit(
        whole,
        make_trainer(
            ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_on_train_epoch_end=True, save_top_k=-1)
        ),
    )
    saver = saves_on_exception(tmp_path / "second")
    with pytest.raises(SystemExit):
        fit(Net(("check", 1), sends(signal.SIGTERM)), make_trainer(saver), ckpt_path=tmp_path / "epoch=0.ckpt")
    (file,) = (tmp_path / "second").glob("*.ckpt")
    resumed = Net()
    fit(resumed, make_trainer(), ckpt_path=file)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


@both_signals
@pytest.mark.parametrize("kind", ["test", "predict", "validate"])
def test_other_stages_end_in_order_too(kind: str, number: signal.Signals) -> None:
    module, watcher = Net((kind, 0), sends(number)), Watcher()
    trainer = make_trainer(watcher)
    with pytest.raises(SystemExit) as ended:
        getattr(trainer, kind)(module, datamodule=Data(), verbose=False) if kind != "predict" else trainer.predict(
            module, datamodule=Data()
        )
    assert ended.value.code == CODES[number]
    assert module.steps[kind] == 1
    assert watcher.called == ["on_exception", f"teardown {kind}"]


@both_signals
@pytest.mark.parametrize("hook", ["setup", "on_train_start", "on_train_epoch_end", "on_fit_end"])
def test_a_signal_in_a_hook_is_not_lost(hook: str, number: signal.Signals) -> None:
    class Sends(Watcher):
        pass

    def send(self: Sends, *args: Any) -> None:
        os.kill(os.getpid(), number)

    setattr(Sends, hook, send)
    watcher = Sends()
    with pytest.raises(SystemExit) as ended:
        fit(Net(), make_trainer(watcher))
    assert ended.value.code == CODES[number]
    assert watcher.called == ["on_exception", "teardown fit"]


@both_signals
def test_a_signal_during_teardown_ends_the_program_after_it(number: signal.Signals) -> None:
    class Sends(Watcher):
        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            super().teardown(trainer, pl_module, stage)
            os.kill(os.getpid(), number)

    module, watcher = Net(), Sends()
    with pytest.raises(SystemExit) as ended:
        fit(module, make_trainer(watcher))
    assert ended.value.code == CODES[number]
    assert module.called[-1] == "teardown fit"  # it comes after the callbacks'


def test_a_second_ctrl_c_interrupts_at_once(tmp_path: Path) -> None:
    reached: list[str] = []

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("first")
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("second")

    module, watcher = Net(("train", 4), twice), Watcher()
    with pytest.raises(SystemExit) as ended:
        fit(module, make_trainer(watcher, saves_on_exception(tmp_path)))
    assert ended.value.code == 130
    assert reached == ["first"]
    assert module.called.count("batch_end") == 4  # the fifth was not finished
    assert watcher.called == ["on_exception", "teardown fit"]
    (file,) = tmp_path.glob("*.ckpt")
    resumed, trainer = Net(), make_trainer()
    fit(resumed, trainer, ckpt_path=file)  # goes on behind the batch that was cut in two
    assert (resumed.steps["train"], trainer.current_epoch) == (7, 2)


def test_ctrl_c_that_a_step_raises_itself_ends_the_program_as_well() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    watcher = Watcher()
    with pytest.raises(SystemExit) as ended:
        fit(Net(("train", 1), interrupt), make_trainer(watcher))
    assert ended.value.code == 130
    assert isinstance(watcher.errors[0], KeyboardInterrupt)


@both_signals
def test_a_handler_of_the_users_own_is_called_and_put_back(number: signal.Signals) -> None:
    came: list[int] = []

    def handler(number: int, frame: Any) -> None:
        came.append(number)

    before = signal.signal(number, handler)
    try:
        with pytest.raises(SystemExit) as ended:
            fit(Net(("train", 1), sends(number)), make_trainer())
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert ended.value.code == CODES[number]
    assert came == [number]


@both_signals
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        module = Net(("train", 1), sends(number))
        fit(module, make_trainer())
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert module.steps["train"] == 12


def test_a_run_within_a_run_passes_the_signal_on() -> None:
    class FitsAnother(Watcher):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            make_trainer(inner_watcher).fit(inner, datamodule=Data())

    inner, inner_watcher = Net(("train", 2), sends(signal.SIGTERM)), Watcher()
    watcher, module = FitsAnother(), Net()
    with pytest.raises(SystemExit) as ended:
        fit(module, make_trainer(watcher))
    assert ended.value.code == 143
    assert (inner.steps["train"], module.steps["train"]) == (3, 1)
    assert inner_watcher.called == watcher.called == ["on_exception", "teardown fit"]


def test_a_fit_outside_of_the_main_thread_leaves_signals_alone() -> None:
    seen: list[Any] = []
    module = Net(("train", 1), lambda: seen.append([signal.getsignal(number) for number in CODES]))
    thread = threading.Thread(target=lambda: fit(module, make_trainer()))
    thread.start()
    thread.join()
    assert seen == [[signal.getsignal(number) for number in CODES]]
    assert module.steps["train"] == 12


class Odd(Exception):
    """An error of a user's own."""


def fail() -> None:
    raise Odd("it is odd")


def test_an_error_keeps_its_type_and_its_traceback() -> None:
    module, watcher = Net(("train", 4), fail), Watcher()
    trainer = make_trainer(watcher)
    with pytest.raises(Odd, match="it is odd") as raised:
        fit(module, trainer)
    assert watcher.errors == [raised.value]
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[-1] == "fail"
    assert "training_step" in names
    assert raised.value.__cause__ is None
    assert watcher.called == ["on_exception", "teardown fit"]
    assert trainer.datamodule.called == ["on_exception Odd", "teardown fit"]
    assert module.called[-1] == "teardown fit"
    assert trainer.state.status.value == "failed"
    assert not trainer.received_sigterm


@both_signals
def test_an_error_after_a_signal_is_told_and_the_signal_ends_the_run(number: signal.Signals) -> None:
    """As when the workers of a loader got the signal, too, and the batch cannot be finished."""

    def both() -> None:
        os.kill(os.getpid(), number)
        fail()

    watcher = Watcher()
    with pytest.raises(SystemExit) as ended, pytest.warns(UserWarning, match=f"After {number.name}.*Odd: it is odd"):
        fit(Net(("train", 1), both), make_trainer(watcher))
    assert ended.value.code == CODES[number]
    assert isinstance(watcher.errors[0], (KeyboardInterrupt, SystemExit))
    assert watcher.called == ["on_exception", "teardown fit"]


def test_errors_of_the_hooks_that_end_a_run_do_not_hide_the_first() -> None:
    class Worse(Watcher):
        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            raise RuntimeError("on_exception failed")

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            raise RuntimeError("teardown failed")

    watcher = Watcher()
    with pytest.raises(Odd), pytest.warns(UserWarning, match="failed") as warned:
        fit(Net(("train", 0), fail), make_trainer(Worse(), watcher))
    assert watcher.called == ["on_exception", "teardown fit"]
    texts = [str(one.message) for one in warned]
    assert any("on_exception failed" in text for text in texts)
    assert any("teardown failed" in text for text in texts)


def test_an_error_in_teardown_alone_is_raised() -> None:
    class Bad(Watcher):
        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            raise Odd("teardown failed")

    module = Net()
    with pytest.raises(Odd, match="teardown failed"):
        fit(module, make_trainer(Bad()))
    assert module.called[-1] == "teardown fit"


def test_after_an_error_the_checkpoint_goes_on_behind_the_batch(tmp_path: Path) -> None:
    """The batch that failed is left out; everything before it counts."""
    for before in (3, 4):
        folder = tmp_path / str(before)
        with pytest.raises(Odd):
            fit(Net(("train", before), fail), make_trainer(saves_on_exception(folder)))
        (file,) = folder.glob("*.ckpt")
        resumed, trainer = Net(), make_trainer()
        fit(resumed, trainer, ckpt_path=file)
        assert resumed.steps["train"] == 12 - before - 1
        assert trainer.current_epoch == 2


def test_the_same_trainer_trains_again_after_an_error_and_after_a_signal() -> None:
    trainer = make_trainer()
    module = Net(("train", 2), fail)
    with pytest.raises(Odd):
        fit(module, trainer)
    module.happens, module.place = sends(signal.SIGINT), ("train", 4)
    with pytest.raises(SystemExit):
        trainer.fit(module, datamodule=Data())
    module.happens = None
    before = module.steps["train"]
    trainer.fit(module, datamodule=Data())
    assert module.steps["train"] == before + 12
    assert not trainer.interrupted
    assert trainer.global_step == 6
