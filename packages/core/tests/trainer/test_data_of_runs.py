"""Which batches a run reads: limits, trial runs, overfitting, several loaders, loaders asked for again."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, Unsized, loader, pairs, trainer
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from fulmen_core import CombinedLoader, LightningDataModule
from fulmen_core.logging import TrialLogger
from fulmen_interfaces import Callback

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")


class Reading(Line):
    """Keeps the first input of every batch, by what it was read for."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[str, list[float]] = {"train": [], "val": [], "test": [], "predict": [], "sanity": []}

    def note(self, what: str, batch: Any) -> None:
        self.read[what].append(round(batch[0][0, 0].item(), 4))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.note("train", batch)
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.note("sanity" if self.trainer.sanity_checking else "val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.note("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        self.note("predict", batch)


def firsts(batches: int, size: int = 2) -> list[float]:
    """Return the first input of every batch of a loader."""
    return [round(batch[0][0, 0].item(), 4) for batch in loader(batches, size=size)]


@pytest.mark.parametrize(
    ("limit", "count"), [(None, 10), (1.0, 10), (0.5, 5), (0.25, 2), (0.99, 9), (1, 1), (3, 3), (100, 10), (0.1, 1)]
)
@pytest.mark.parametrize("what", ["train", "val", "test", "predict"])
def test_limits_are_shares_or_numbers(what: str, limit: Any, count: int) -> None:
    module, ready = Reading(), trainer(**{f"limit_{what}_batches": limit}, num_sanity_val_steps=0)
    data = loader(10)
    if what in ("train", "val"):
        ready.fit(module, data, data)
        assert ready.num_training_batches == (count if what == "train" else 10)
        assert ready.num_val_batches == [count if what == "val" else 10]
    else:
        getattr(ready, what)(module, data)
    assert module.read[what] == firsts(10)[:count]


@pytest.mark.parametrize("call", ["test", "predict"])
def test_a_limit_of_zero_reads_nothing(call: str) -> None:
    module = Reading()
    result = getattr(trainer(**{f"limit_{call}_batches": 0}), call)(module, loader(2))
    assert (module.read[call], result) == ([], [] if call == "test" else None)


def test_a_limit_counts_where_the_data_does_not_tell_its_length() -> None:
    module = Reading()
    trainer(limit_train_batches=2, max_epochs=2).fit(module, Unsized(loader(5)))
    assert module.read["train"] == firsts(5)[:2] * 2


@pytest.mark.parametrize("batches", [True, 1, 3])
def test_a_trial_run_reads_a_few_batches_of_everything_and_leaves_the_rest_out(batches: int) -> None:
    module = Reading()
    run = {"fast_dev_run": batches, "max_epochs": 7, "limit_train_batches": 9, "val_check_interval": 5}
    ready = trainer(**run, enable_checkpointing=None, logger=None)
    ready.fit(module, loader(6), loader(6))
    ready.test(module, loader(6), verbose=False)
    ready.predict(module, loader(6))
    count = int(batches)
    wanted = firsts(6)[:count]
    assert module.read == {"train": wanted, "val": wanted, "test": wanted, "predict": wanted, "sanity": []}
    assert (ready.max_epochs, ready.max_steps, ready.global_step, ready.current_epoch) == (1, count, count, 1)
    assert ready.fast_dev_run == count
    assert [type(one) for one in ready.loggers] == [TrialLogger]


def test_overfitting_reads_the_same_few_batches_in_order_and_leaves_the_loader_alone() -> None:
    module = Reading()
    training, validation = (DataLoader(pairs(20), batch_size=2, shuffle=True) for _ in range(2))
    with pytest.warns(UserWarning, match="overfit_batches wants the same batches") as told:
        trainer(overfit_batches=2, max_epochs=3, num_sanity_val_steps=0).fit(module, training, validation)
    assert ["train_dataloader" in str(told[0].message), "val_dataloader" in str(told[1].message)] == [True, True]
    assert module.read["train"] == firsts(10)[:2] * 3
    assert module.read["val"] == firsts(10)[:2] * 3
    assert isinstance(training.sampler, RandomSampler)
    assert isinstance(validation.sampler, RandomSampler)


def test_overfitting_may_be_a_share() -> None:
    module = Reading()
    trainer(overfit_batches=0.25, num_sanity_val_steps=0).fit(module, loader(10), loader(8))
    assert (len(module.read["train"]), len(module.read["val"])) == (2, 2)


@pytest.mark.parametrize(("form", "kind"), [(list, list), (tuple, tuple), (dict, dict)])
def test_several_training_loaders_are_read_together_until_the_longest_ends(form: Any, kind: type) -> None:
    class Joint(Line):
        seen: ClassVar[list[Any]] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            parts = list(batch.values()) if isinstance(batch, dict) else list(batch)
            self.seen.append((type(batch), [part[0].shape[0] for part in parts]))
            return self.loss(parts[0]) + self.loss(parts[1])

    loaders = [loader(3, size=2), loader(2, size=5)]
    Joint.seen = []
    trainer().fit(Joint(), dict(zip("ab", loaders, strict=True)) if form is dict else form(loaders))
    assert Joint.seen == [(kind, [2, 5])] * 3


def test_a_combined_loader_says_itself_how_it_is_read() -> None:
    class Joint(Line):
        batches = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.batches += 1
            return self.loss(batch["a"])

    module = Joint()
    trainer().fit(module, CombinedLoader({"a": loader(3), "b": loader(2)}, "min_size"))
    assert module.batches == 2


def test_the_hooks_of_a_data_module_win_over_those_of_the_module() -> None:
    class Data(LightningDataModule):
        def __init__(self) -> None:
            super().__init__()
            self.stages: list[str] = []

        def setup(self, stage: str) -> None:
            self.stages.append(stage)

        def train_dataloader(self) -> Any:
            return loader(2)

        def val_dataloader(self) -> Any:
            return loader(1)

        test_dataloader = predict_dataloader = val_dataloader

    class Own(Reading):
        def train_dataloader(self) -> Any:
            raise AssertionError

        val_dataloader = test_dataloader = train_dataloader

    module, data = Own(), Data()
    ready = trainer(num_sanity_val_steps=0)
    ready.fit(module, data)  # in the place of the loaders
    assert ready.datamodule is data
    assert data.trainer is ready
    ready.validate(module, datamodule=data, verbose=False)
    ready.test(module, data, verbose=False)
    ready.predict(module, data)
    assert [len(module.read[what]) for what in ("train", "val", "test", "predict")] == [2, 2, 1, 1]
    assert data.stages == ["fit", "validate", "test", "predict"]


@pytest.mark.parametrize(("every", "asked"), [(0, 1), (1, 4), (2, 2), (3, 2)])
def test_loaders_are_asked_for_again_every_so_many_epochs(every: int, asked: int) -> None:
    class Asked(Reading):
        calls: list[int]

        def train_dataloader(self) -> Any:
            self.calls.append(self.current_epoch)
            return loader(2 + self.current_epoch)

        def val_dataloader(self) -> Any:
            return loader(1 + self.current_epoch)

    module = Asked()
    module.calls = []
    ready = trainer(reload_dataloaders_every_n_epochs=every, max_epochs=4, num_sanity_val_steps=0)
    ready.fit(module)
    epochs = [epoch for epoch in range(4) if epoch == 0 or (every and epoch % every == 0)]
    assert module.calls == epochs
    assert len(epochs) == asked
    newest = [max(each for each in epochs if each <= epoch) for epoch in range(4)]
    assert len(module.read["train"]) == sum(2 + epoch for epoch in newest)
    assert len(module.read["val"]) == sum(1 + epoch for epoch in newest)


def test_validation_within_an_epoch_follows_the_length_of_new_loaders() -> None:
    class Growing(Line):
        validated: ClassVar[list[tuple[int, int]]] = []

        def train_dataloader(self) -> Any:
            return loader(2 if self.current_epoch == 0 else 6)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.batch_idx = batch_idx
            return self.loss(batch)

        def val_dataloader(self) -> Any:
            return loader(1)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.validated.append((self.current_epoch, self.batch_idx))

    run = {"reload_dataloaders_every_n_epochs": 1, "val_check_interval": 0.5, "num_sanity_val_steps": 0}
    trainer(max_epochs=2, **run).fit(Growing())
    assert Growing.validated == [(0, 0), (0, 1), (1, 2), (1, 5)]


def test_samplers_are_told_the_epoch() -> None:
    class Told(SequentialSampler):
        def __init__(self, data: Any) -> None:
            super().__init__(data)
            self.epochs: list[int] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    data = pairs(4)
    sampler = Told(data)
    trainer(max_epochs=3).fit(Line(), DataLoader(data, sampler=sampler, batch_size=2))
    assert sampler.epochs == [0, 1, 2]


def test_batches_of_any_kind_reach_the_step() -> None:
    class Kinds(Line):
        seen: ClassVar[list[Any]] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(batch)
            return self.layer(torch.ones(1, 4)).sum()

    given = ["text", 5, {"a": [1]}, None, object()]
    trainer().fit(Kinds(), Unsized(given))
    assert Kinds.seen == given


def test_transfer_hooks_may_change_a_batch_each_in_its_turn() -> None:
    order: list[str] = []

    class Changing(Line):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            order.append("before")
            return [part + 1 for part in batch]

        def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
            order.append(f"transfer to {device}")
            return super().transfer_batch_to_device(batch, device, dataloader_idx)

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            order.append("after")
            return [part * 2 for part in batch]

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.started = batch

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            assert batch is self.started
            self.given = batch
            return self.loss(batch)

    module = Changing()
    data = loader(1)
    trainer().fit(module, data)
    assert order == ["before", "transfer to cpu", "after"]
    (batch,) = data
    assert all(torch.equal(mine, (part + 1) * 2) for mine, part in zip(module.given, batch, strict=True))


def test_validation_reads_anew_every_time() -> None:
    module = Reading()
    trainer(max_epochs=2, num_sanity_val_steps=1).fit(module, loader(1), loader(3))
    assert module.read["sanity"] == firsts(3)[:1]
    assert module.read["val"] == firsts(3) * 2


def test_is_last_batch_is_known_within_the_batch() -> None:
    class Last(Callback):
        seen: ClassVar[list[bool]] = []

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append(trainer.is_last_batch)

    for data in (loader(3), Unsized(loader(3))):
        Last.seen = []
        trainer(max_epochs=2, callbacks=[Last()]).fit(Line(), data)
        assert Last.seen == [False, False, True] * 2


def test_a_transfer_hook_of_the_module_that_the_data_module_takes_over_is_told() -> None:
    called: list[str] = []

    class Data(LightningDataModule):
        def train_dataloader(self) -> Any:
            return loader(1)

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            called.append("data")
            return batch

    class Own(Line):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            called.append("before")
            return batch

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            called.append("module")
            return batch

    with pytest.warns(UserWarning, match=r"Own.on_after_batch_transfer is not called: Data.on_after_batch") as told:
        trainer().fit(Own(), datamodule=Data())
    assert called == ["before", "data"]
    assert not any("on_before_batch_transfer" in str(one.message) for one in told)
