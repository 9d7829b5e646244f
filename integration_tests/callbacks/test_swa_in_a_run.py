"""Stochastic weight averaging in a Trainer, against a loop by hand with torch's own parts for it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_callbacks import StochasticWeightAveraging
from fulmen_interfaces import ConfigurationError

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
EPOCHS = 6
OPTIONS: dict[str, Any] = {"swa_lrs": 0.05, "swa_epoch_start": 3, "annealing_epochs": 3}


class Net(L.LightningModule):
    def __init__(self, *, norm: bool = True, scheduled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4) if norm else nn.Identity(), nn.Linear(4, 1))
        self.scheduled = scheduled
        self.rates: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return (self(batch[0]) - batch[1]).pow(2).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])

    def on_train_epoch_start(self) -> None:
        self.rates.append(self.optimizers().param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.2, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": StepLR(optimizer, 1, 0.9)} if self.scheduled else optimizer


def data(shuffle: bool = True) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(1)
    samples = TensorDataset(torch.randn(12, 3, generator=generator), torch.randn(12, 1, generator=generator))
    return DataLoader(samples, batch_size=4, shuffle=shuffle, generator=torch.Generator().manual_seed(2))


def fitted(module: Net, *, swa: dict[str, Any] | None = None, ckpt_path: Path | None = None, **arguments: Any) -> Any:
    callback = StochasticWeightAveraging(**{**OPTIONS, **(swa or {})})
    arguments = {"max_epochs": EPOCHS, "enable_checkpointing": False, "callbacks": [callback], **QUIET, **arguments}
    trainer = L.Trainer(**arguments)
    trainer.fit(module, data(), data(shuffle=False), ckpt_path=ckpt_path)
    return trainer


def by_hand(module: Net, epochs: int = EPOCHS, **averaging: Any) -> tuple[AveragedModel, list[float]]:
    configured = module.configure_optimizers()
    optimizer = configured["optimizer"] if module.scheduled else configured
    scheduler: Any = configured["lr_scheduler"] if module.scheduled else None
    average, rates, loader, swalr = AveragedModel(copy.deepcopy(module), **averaging), [], data(), None
    for epoch in range(epochs):
        if epoch == OPTIONS["swa_epoch_start"] - 1:
            swalr = SWALR(optimizer, swa_lr=OPTIONS["swa_lrs"], anneal_epochs=OPTIONS["annealing_epochs"])
        if swalr is not None:
            average.update_parameters(module)
        rates.append(optimizer.param_groups[0]["lr"])
        for batch in loader:
            optimizer.zero_grad()
            module.training_step(batch, 0).backward()
            optimizer.step()
        if swalr is not None:
            swalr.step()
        elif scheduler is not None:
            scheduler.step()
    update_bn(loader, average)
    return average, rates


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    assert list(states[0]) == list(states[1])
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_the_module_gets_what_torch_averages(norm: bool, scheduled: bool) -> None:
    module, twin = Net(norm=norm, scheduled=scheduled), Net(norm=norm, scheduled=scheduled)
    torch.manual_seed(7)
    fitted(module)
    torch.manual_seed(7)
    average, rates = by_hand(twin)
    assert module.rates == rates
    assert rates[-1] == pytest.approx(0.05)
    assert same(module, average.module)
    assert module.training
    assert not any(layer.momentum is None for layer in module.modules() if isinstance(layer, nn.BatchNorm1d))


def test_averaging_as_the_user_says() -> None:
    def rule(average: Tensor, value: Tensor, count: Any) -> Tensor:
        return average * 0.25 + value * 0.75

    module, twin = Net(), Net()
    fitted(module, swa={"avg_fn": rule, "device": None, "swa_epoch_start": 0.5})
    average, _ = by_hand(twin, avg_fn=rule)
    assert same(module, average.module)


def test_training_that_ends_early_is_averaged_too() -> None:
    module, twin = Net(norm=False), Net(norm=False)
    fitted(module, max_steps=12)  # of 18
    average, _ = by_hand(twin, epochs=4)
    assert same(module, average.module)


def test_training_that_ends_before_averaging_is_plain() -> None:
    module, twin = Net(), Net()
    fitted(module, max_steps=6)
    fitted(twin, max_steps=6, callbacks=[])
    assert same(module, twin)


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path, scheduled: bool) -> None:
    class Saving(Net):
        def save(self, what: str) -> None:
            path = tmp_path / f"{self.current_epoch}-{what}.ckpt"
            if not path.exists() and not self.trainer.sanity_checking:
                self.trainer.save_checkpoint(path)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.save(str(batch_idx))

        def on_validation_end(self) -> None:
            self.save("validated")

        def on_train_epoch_end(self) -> None:
            self.save("end")

    truth = Saving(scheduled=scheduled)
    fitted(truth)
    for place in ("0-end", "1-2", "2-0", "2-2", "2-validated", "2-end", "4-1", "5-end"):
        module = Saving(scheduled=scheduled)
        fitted(module, ckpt_path=tmp_path / f"{place}.ckpt")
        assert same(module, truth), place
        assert module.rates == truth.rates[EPOCHS - len(module.rates) :], place


def test_an_epoch_cut_short_anneals_once(tmp_path: Path) -> None:
    first, second, truth = Net(norm=False), Net(norm=False), Net(norm=False)
    fitted(truth)
    trainer = fitted(first, max_steps=11)  # in the middle of the fourth epoch
    trainer.save_checkpoint(tmp_path / "cut.ckpt")
    fitted(second, ckpt_path=tmp_path / "cut.ckpt")
    assert second.rates[-1] == truth.rates[-1]


def test_checkpoints_and_validation_have_the_weights_that_are_trained(tmp_path: Path) -> None:
    plain, averaged = {}, {}

    def watching(seen: dict[int, Tensor]) -> Net:
        class Watching(Net):
            def on_validation_end(self) -> None:
                seen[self.current_epoch] = self.body[0].weight.detach().clone()
                if self.current_epoch == 3:
                    self.trainer.save_checkpoint(tmp_path / "fourth.ckpt")
                    saved = torch.load(tmp_path / "fourth.ckpt", weights_only=True)["state_dict"]
                    assert torch.equal(saved["body.0.weight"], self.body[0].weight)

        return Watching()

    fitted(watching(plain), callbacks=[], max_epochs=3)
    fitted(watching(averaged))
    assert all(torch.equal(plain[epoch], averaged[epoch]) for epoch in range(3))


def test_data_without_end_leaves_statistics_alone() -> None:
    class Endless:
        def __iter__(self) -> Any:
            return iter(data(shuffle=False))

    module = Net()
    trainer = L.Trainer(
        max_epochs=4, enable_checkpointing=False, callbacks=[StochasticWeightAveraging(**OPTIONS)], **QUIET
    )
    with pytest.warns(UserWarning, match="update_bn"):
        trainer.fit(module, Endless(), data())
    assert int(module.body[1].num_batches_tracked) == 12


def test_runs_that_cannot_be_averaged_are_refused() -> None:
    class Two(Net):
        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.body[0].parameters(), lr=0.1), torch.optim.SGD(self.body[2].parameters())]

        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> Tensor:
            return super().training_step(batch, batch_idx)

    with pytest.raises(ConfigurationError, match="returned 2 optimizers"):
        fitted(Two())
    with pytest.raises(ConfigurationError, match=r"swa_epoch_start=0\.8"):
        fitted(Net(), swa={"swa_epoch_start": 0.8}, max_epochs=-1, max_steps=3)
    with pytest.raises(ConfigurationError, match="1 parameter groups"):
        fitted(Net(), swa={"swa_lrs": [0.1, 0.2]})


def test_ranks_agree_on_the_statistics_of_all_their_batches() -> None:
    module = Net()
    samples = data().dataset
    trainer = L.Trainer(
        max_epochs=4,
        devices=2,
        strategy="ddp_fork",
        callbacks=[StochasticWeightAveraging(**OPTIONS)],
        enable_checkpointing=False,
        **QUIET,
    )
    trainer.fit(module, DataLoader(samples, batch_size=2), data(shuffle=False))
    truth = copy.deepcopy(module.body)
    first = torch.stack([samples[index][0] for index in range(12)])
    parts = [first[rank::2].split(2) for rank in range(2)]
    update_bn([batch for part in parts for batch in part], truth)
    assert torch.allclose(module.body[1].running_mean, truth[1].running_mean, atol=1e-6)
    assert torch.allclose(module.body[1].running_var, truth[1].running_var, rtol=1e-5)
