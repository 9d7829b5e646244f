"""Modules, data and settings that keep something in a place of its own, or end a run in an odd moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

import fulmen_core as L
from fulmen_core.verification import verify_resume
from fulmen_interfaces import Callback


def loader(samples: int = 20, *, seed: int = 3, **options: Any) -> DataLoader[Any]:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4, **options)


def both() -> Any:
    return loader(shuffle=True), loader(9, seed=4)


class Base(L.LightningModule):
    """Dropout and batch norm, so that every random number and every mode shows in the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3))
        self.head = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.body(x))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = mse_loss(self(batch[0]), batch[1])
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", mse_loss(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class FreezesInEveryEpoch(Base):
    """A hook that runs before the cut only; the epoch goes on without it."""

    def on_train_epoch_start(self) -> None:
        self.body.eval()


class LeavesValidationItsOwnWay(Base):
    def on_validation_model_train(self) -> None:
        self.train()
        self.body.eval()


class Unfreezes(Base):
    def on_train_start(self) -> None:
        self.body.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.body.requires_grad_(True)


class LogsAndDrawsInHooks(Base):
    """`on_train_start` runs again after resuming: neither its values nor its random numbers may count twice."""

    def on_train_start(self) -> None:
        self.log("sum", 1.0, reduce_fx="sum")
        torch.rand(3)

    def on_train_epoch_start(self) -> None:
        self.log("sum", 2.0, reduce_fx="sum")
        torch.rand(3)

    def on_train_batch_end(self, *args: Any) -> None:
        self.log("steps", float(self.global_step))
        torch.rand(3)

    def on_validation_epoch_start(self) -> None:
        torch.rand(3)


class LogsOneNameInTwoHooks(Base):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx % 3 == 2:
            self.log("name", -1.0)

    def on_before_zero_grad(self, optimizer: Any) -> None:
        self.log("name", float(self.global_step))


class AveragesWeights(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(1, 6))

    def on_train_batch_end(self, *args: Any) -> None:
        self.average.mul_(0.9).add_(self.head.weight.detach(), alpha=0.1)


class ClearsGradientsSometimes(Base):
    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if batch_idx % 2 == 0:
            optimizer.zero_grad()


class StepsSometimes(Base):
    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        if batch_idx % 2:
            optimizer.step(closure=optimizer_closure)
        else:
            optimizer_closure()


class LeavesBatchesOut(Base):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return None if batch_idx % 3 == 1 else loss


class LeavesTheRestOfEpochsOut(Base):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        return -1 if batch_idx == 3 else None


class AsksToStop(Base):
    def on_validation_epoch_end(self) -> None:
        if self.global_step >= 6:
            self.trainer.should_stop = True


class TogglesByHand(Base):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(part.parameters(), lr=0.01) for part in (self.body, self.head)]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            self.toggle_optimizer(optimizer)
            self.manual_backward(mse_loss(self(batch[0]), batch[1]))
            optimizer.step()
            optimizer.zero_grad()
            self.untoggle_optimizer(optimizer)


class ReadsTwoLoaders(Base):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return sum(mse_loss(self(x), y) for x, y in batch)


class ValidatesTwice(Base):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", mse_loss(self(batch[0]), batch[1]), on_step=True, on_epoch=True)


class MakesItsOwnData(Base):
    """Every epoch's data is made anew, with numbers drawn from the global generator."""

    def train_dataloader(self) -> Any:
        seed = int(torch.randint(1000, ()))
        return loader(seed=self.current_epoch, shuffle=True, generator=torch.Generator().manual_seed(seed))

    def val_dataloader(self) -> Any:
        return loader(9, seed=4)


class RandomBatches:
    """Data without an end, drawn as it is read."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            x = torch.randn(4, 4)
            yield x, x.sum(1, keepdim=True)


def own_generators() -> Any:
    shared = torch.Generator().manual_seed(5)
    return loader(shuffle=True, generator=shared), loader(9, seed=4, shuffle=True, generator=shared)


class ShufflesInPlace:
    """A sampler whose order depends on all orders before."""

    def __init__(self, count: int) -> None:
        self.order = list(range(count))
        self.draw = random.Random(6)

    def __iter__(self) -> Iterator[int]:
        self.draw.shuffle(self.order)
        return iter(list(self.order))

    def __len__(self) -> int:
        return len(self.order)


def orders_that_build_on_each_other() -> Any:
    return DataLoader(loader().dataset, batch_size=4, sampler=ShufflesInPlace(20)), loader(9, seed=4, shuffle=True)


def weighted() -> Any:
    sampler = WeightedRandomSampler([1.0] * 20, 14, generator=torch.Generator().manual_seed(1))
    return DataLoader(loader().dataset, batch_size=4, sampler=sampler), loader(9, seed=4)


def combined() -> Any:
    return L.CombinedLoader([loader(shuffle=True), loader(12, seed=7, shuffle=True)], "max_size_cycle"), loader(9)


def two_validation_loaders() -> Any:
    return loader(shuffle=True), [loader(9, seed=4), loader(5, seed=6, shuffle=True)]


def no_data() -> None:
    return None


Made = tuple[Callable[[], L.LightningModule], Callable[[], Any], dict[str, Any]]
CASES: dict[str, Made] = {
    **{
        kind.__name__: (kind, both, {})
        for kind in (
            FreezesInEveryEpoch,
            LeavesValidationItsOwnWay,
            Unfreezes,
            LogsAndDrawsInHooks,
            LogsOneNameInTwoHooks,
            AveragesWeights,
            ClearsGradientsSometimes,
            StepsSometimes,
            LeavesBatchesOut,
            LeavesTheRestOfEpochsOut,
            AsksToStop,
            TogglesByHand,
        )
    },
    "generators of loaders": (Base, own_generators, {}),
    "a weighted sampler": (Base, weighted, {}),
    "two loaders at once": (ReadsTwoLoaders, combined, {}),
    "two validation loaders": (ValidatesTwice, two_validation_loaders, {"val_check_interval": 2}),
    "data without an end": (Base, lambda: (RandomBatches(), loader(9)), {"limit_train_batches": 5}),
    "lists": (Base, lambda: (list(loader()), list(loader(9))), {}),
    "loaders made anew": (MakesItsOwnData, no_data, {"reload_dataloaders_every_n_epochs": 1, "max_epochs": 3}),
    "the same loaders again": (
        Base,
        orders_that_build_on_each_other,
        {"reload_dataloaders_every_n_epochs": 1, "limit_train_batches": 3, "max_epochs": 3},
    ),
    "validation across epochs": (Base, both, {"check_val_every_n_epoch": None, "val_check_interval": 4}),
    "validation every second epoch": (Base, both, {"check_val_every_n_epoch": 2, "max_epochs": 3}),
    "a limit on steps": (Base, both, {"max_steps": 7}),
    "the same batches": (Base, both, {"overfit_batches": 2}),
    "validation after every batch": (Base, both, {"limit_val_batches": 2, "val_check_interval": 1}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_it_resumes_exactly(name: str) -> None:
    make_module, make_data, arguments = CASES[name]
    given = {"max_epochs": 2, "log_every_n_steps": 2, "enable_checkpointing": False, **arguments}
    report = verify_resume(make_module, make_data, trainer_arguments=given, cuts=5, seed=len(name))
    assert report.exact, str(report)


class SavesEarly(Callback):
    """A user's own callback: it saves before the module's hook of the same name has run."""

    saved: ClassVar[list[str]] = []

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.save_checkpoint(f"{self.folder}/train-{trainer.current_epoch}.ckpt")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            trainer.save_checkpoint(f"{self.folder}/validation-{trainer.global_step}.ckpt")


class ChangesWeightsInLateHooks(Base):
    """What the hooks do after the save is part of the run: it must be done when the file is resumed from."""

    def on_train_epoch_end(self) -> None:
        with torch.no_grad():
            self.head.bias += torch.rand(1)

    def on_validation_end(self) -> None:
        with torch.no_grad():
            self.head.weight *= 1.01


class LeavesOutAndChanges(ChangesWeightsInLateHooks):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        return -1 if batch_idx == 3 else None


@pytest.mark.parametrize("kind", [ChangesWeightsInLateHooks, LeavesOutAndChanges])
def test_a_save_from_an_early_hook_is_followed_by_the_later_ones(kind: type[Base], tmp_path: Any) -> None:
    def train(folder: str, ckpt_path: str | None = None) -> L.LightningModule:
        torch.manual_seed(2)
        module, (train_data, validation) = kind(), both()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = L.Trainer(max_epochs=2, callbacks=[SavesEarly(folder)], enable_model_summary=False, **quiet)
        trainer.fit(module, train_data, validation, ckpt_path=ckpt_path)
        return module

    whole = train(str(tmp_path)).state_dict()
    files = sorted(tmp_path.glob("*.ckpt"))
    assert len(files) == (4 if kind is ChangesWeightsInLateHooks else 2)
    for number, file in enumerate(files):
        (tmp_path / str(number)).mkdir()
        resumed = train(str(tmp_path / str(number)), str(file)).state_dict()
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items()), file


def test_wrapped_torchmetrics_go_on() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")

    class Measured(Base):
        def __init__(self) -> None:
            super().__init__()
            self.all = torchmetrics.MetricCollection(
                [torchmetrics.MeanSquaredError(), torchmetrics.MeanAbsoluteError(), torchmetrics.R2Score()]
            )
            self.recent = torchmetrics.wrappers.Running(torchmetrics.MeanMetric(), window=3)
            self.extremes = torchmetrics.MinMaxMetric(torchmetrics.MeanMetric())
            self.drawn = torchmetrics.wrappers.BootStrapper(torchmetrics.MeanMetric(), num_bootstraps=3)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            out = self(batch[0])
            given = out.detach()
            self.all(given, batch[1])
            self.log_dict(self.all, on_step=True, on_epoch=True)
            self.recent(given)
            self.extremes.update(given)
            self.drawn.update(given.flatten())
            return mse_loss(out, batch[1])

        def on_train_epoch_end(self) -> None:
            self.log("recent", self.recent.compute())
            self.log_dict(self.extremes.compute())
            self.log_dict(self.drawn.compute())
            self.drawn.reset()

    arguments = {"max_epochs": 2, "enable_checkpointing": False, "log_every_n_steps": 1}
    report = verify_resume(Measured, both, trainer_arguments=arguments, cuts=6)
    assert report.exact, str(report)
