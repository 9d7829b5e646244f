"""The learning-rate search: what it runs, what it leaves as it was, and what it writes."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader
from tuner_cases import Data, Line, Net, find, loader, pairs, same_state, seeded, trainer

from fulmen_callbacks import ModelCheckpoint
from fulmen_interfaces import ConfigurationError, ModuleError
from fulmen_tuner import Tuner


def by_hand(model, rates, batches, *, accumulate=1):
    """Return the losses of a plain loop that steps with these rates."""
    net, losses = copy.deepcopy(model.net), []
    stream = iter([])
    for rate in rates:
        net.zero_grad()
        window = []
        for _ in range(accumulate):
            batch = next(stream, None)
            if batch is None:
                stream = iter(batches)
                batch = next(stream)
            loss = mse_loss(net(batch[0]), batch[1])
            (loss / accumulate).backward()
            window.append(loss.detach())
        losses.append(torch.stack(window).mean().item())
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= rate * parameter.grad
    return losses


@pytest.mark.parametrize("mode", ["exponential", "linear"])
def test_each_step_uses_its_rate(mode):
    model = seeded(Line)
    curve = find(model, min_lr=1e-4, max_lr=0.1, num_training=20, mode=mode, update_attr=False)
    between = np.geomspace if mode == "exponential" else np.linspace
    assert curve.results["lr"] == pytest.approx(between(1e-4, 0.1, 20).tolist())
    assert curve.raw_losses == pytest.approx(by_hand(model, curve.results["lr"], loader()), rel=1e-5)


def test_the_loss_is_smoothed_without_bias():
    curve = find(seeded(Line), num_training=12, update_attr=False)
    for count in range(1, 13):
        weights = 0.98 ** np.arange(count)[::-1]
        expected = (weights * curve.raw_losses[:count]).sum() / weights.sum()
        assert curve.results["loss"][count - 1] == pytest.approx(expected)


def test_a_step_over_several_batches_counts_once():
    model = seeded(Line)
    arguments = {"accumulate_grad_batches": 2}
    curve = find(model, arguments=arguments, min_lr=1e-3, max_lr=0.1, num_training=6, update_attr=False)
    assert len(curve.results["lr"]) == 6
    assert curve.raw_losses == pytest.approx(by_hand(model, curve.results["lr"], loader(), accumulate=2), rel=1e-5)


@pytest.mark.parametrize("with_datamodule", [True, False])
def test_a_fit_goes_as_it_would_have_gone_without(with_datamodule):
    def train(search):
        model = seeded()
        data = Data() if with_datamodule else loader(shuffle=True, generator=torch.Generator().manual_seed(5))
        given = {"datamodule": data} if with_datamodule else {"train_dataloaders": data}
        runner = trainer()
        if search:
            Tuner(runner).lr_find(model, **given, num_training=30, update_attr=False)
        runner.fit(model, **given)
        return model, runner

    (plain, before), (searched, after) = train(False), train(True)
    assert same_state(plain, searched)
    assert plain.seen == searched.seen
    assert before.callback_metrics == after.callback_metrics
    assert (before.global_step, before.current_epoch) == (after.global_step, after.current_epoch)


def test_a_search_between_two_fits_changes_nothing():
    def train(search):
        model, data, runner = seeded(), Data(), trainer()
        runner.fit(model, datamodule=data)
        if search:
            Tuner(runner).lr_find(model, datamodule=data, num_training=20, update_attr=False)
        runner.fit(model, datamodule=data)
        return model

    assert same_state(train(False), train(True))


def test_everything_is_as_it_was():
    model, data = seeded(), Data()
    before = copy.deepcopy(model)
    runner = trainer(max_steps=50)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    find_state = data.generator.get_state()
    Tuner(runner).lr_find(model, datamodule=data, num_training=20, update_attr=False)
    assert same_state(before, model)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.equal(data.generator.get_state(), find_state)
    assert data.train is None
    assert data.trainer is None
    assert dict(model.hparams) == dict(before.hparams)
    assert [one.training for one in model.modules()] == [one.training for one in before.modules()]
    assert model.seen == []
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (runner.max_steps, runner.global_step, runner.lightning_module) == (50, 0, None)


def test_what_was_found_is_what_the_fit_uses():
    found = seeded()
    curve = find(found)
    assert found.lr == found.hparams.lr == curve.suggestion()
    by_value = seeded(lr=found.lr)
    for model in (found, by_value):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        trainer().fit(model, loader())
    assert same_state(found, by_value)


def test_it_writes_no_files(tmp_path, monkeypatch):
    class Saving(Net):
        def configure_callbacks(self):
            return [ModelCheckpoint(every_n_train_steps=1)]

    monkeypatch.chdir(tmp_path)
    find(seeded(Saving), num_training=5, update_attr=False, arguments={"logger": None, "enable_checkpointing": None})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_schedulers_rest():
    class Scheduled(Line):
        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.net.parameters(), lr=self.lr)
            steps = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.0)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            every_step = {"scheduler": steps, "interval": "step"}
            return [optimizer], [every_step, {"scheduler": plateau, "monitor": "val_loss"}]

    options = {"min_lr": 1e-4, "max_lr": 0.1, "num_training": 20, "update_attr": False}
    assert find(seeded(Scheduled), **options).raw_losses == find(seeded(Line), **options).raw_losses


def test_it_ends_when_the_loss_explodes():
    model = seeded(Line)
    curve = find(model, min_lr=1e-3, max_lr=100.0, update_attr=False)
    losses = curve.results["loss"]
    assert len(losses) < 100
    assert losses[-1] > 4 * min(losses)
    assert all(loss <= 4 * min(losses[: i + 1]) for i, loss in enumerate(losses[:-1]))
    whole = find(model, min_lr=1e-3, max_lr=1.0, early_stop_threshold=None, num_training=30, update_attr=False)
    assert len(whole.results["lr"]) == 30


def test_a_negative_loss_does_not_end_it():
    class Negative(Line):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) - 1000.0

    assert len(find(seeded(Negative), min_lr=1e-6, max_lr=1e-4, num_training=20, update_attr=False).results["lr"]) == 20


def test_it_ends_where_the_loss_is_no_number():
    class Broken(Line):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (float("nan") if batch_idx >= 5 else 1.0)

    curve = find(seeded(Broken), update_attr=False)
    assert len(curve.results["lr"]) == 5
    assert np.isfinite(curve.results["loss"]).all()


def test_manual_optimization_works():
    class Manual(Line):
        def __init__(self, lr=0.1):
            super().__init__(lr)
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            return loss

    options = {"min_lr": 1e-4, "max_lr": 0.1, "num_training": 20, "update_attr": False}
    assert find(seeded(Manual), **options).raw_losses == find(seeded(Line), **options).raw_losses


def test_a_run_without_losses_is_told():
    class Silent(Line):
        def training_step(self, batch, batch_idx):
            return None

    with pytest.raises(ModuleError, match="training_step"):
        find(seeded(Silent), num_training=4, arguments={"limit_train_batches": 4, "max_epochs": 1})


def test_several_optimizers_are_refused():
    class Two(Line):
        def training_step(self, batch, batch_idx, optimizer_idx):
            return super().training_step(batch, batch_idx)

        def configure_optimizers(self):
            return [torch.optim.SGD(self.net.parameters(), lr=0.1) for _ in range(2)]

    with pytest.raises(ModuleError, match="returned 2"):
        find(seeded(Two))


def test_a_model_that_cannot_be_copied_is_told():
    class Stubborn(Line):
        def __deepcopy__(self, memo):
            raise TypeError("not me")

    with pytest.raises(ModuleError, match="cannot be copied: TypeError: not me"):
        find(seeded(Stubborn))


def test_data_that_can_be_read_only_once_is_refused():
    with pytest.raises(ModuleError, match="cannot be copied"):
        find(seeded(Line), (batch for batch in loader()))


def test_a_loader_whose_workers_are_running_can_be_searched_with():
    data = loader(num_workers=1, persistent_workers=True)
    model = seeded(Line)
    trainer(max_epochs=1).fit(model, data)
    assert len(find(model, data, num_training=12, update_attr=False).results["lr"]) == 12
    trainer(max_epochs=1).fit(model, data)


def test_a_trial_run_of_a_few_batches_finds_nothing():
    with pytest.warns(UserWarning, match="fast_dev_run"):
        assert find(seeded(), arguments={"fast_dev_run": True}) is None


def test_what_is_no_trainer_is_told():
    with pytest.raises(ConfigurationError, match=r"It is no Trainer.*Write Tuner\(Trainer\(\.\.\.\)\)"):
        Tuner(Line())


def test_all_wrong_arguments_are_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        find(seeded(), method="test", min_lr=1.0, max_lr=0.1, num_training=0, mode="cubic")
    assert {problem.argument for problem in caught.value.problems} == {"method", "min_lr", "num_training", "mode"}


def test_a_tensor_as_learning_rate_is_set_in_place():
    class Captured(Line):
        def configure_optimizers(self):
            return torch.optim.SGD(self.net.parameters(), lr=torch.tensor(self.lr))

    options = {"min_lr": 1e-4, "max_lr": 0.1, "num_training": 20, "update_attr": False}
    expected = find(seeded(Line), **options).raw_losses
    assert find(seeded(Captured), **options).raw_losses == pytest.approx(expected, rel=1e-5)


def test_a_data_set_with_random_numbers_of_its_own_goes_on_with_them():
    class Noisy(torch.utils.data.Dataset):
        def __init__(self):
            self.rng = np.random.default_rng(4)

        def __len__(self):
            return 16

        def __getitem__(self, index):
            x = torch.tensor(self.rng.random(4), dtype=torch.float32)
            return x, x.sum(0, keepdim=True)

    data = Noisy()
    find(seeded(Line), DataLoader(data, batch_size=4), num_training=10, update_attr=False)
    assert data.rng.random() == np.random.default_rng(4).random()


def test_data_sets_are_not_copied():
    class Heavy(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return pairs()[index]

        def __deepcopy__(self, memo):
            raise AssertionError

    heavy = Heavy()
    model, data = seeded(Line), Data()
    model.kept = [heavy]
    data.data = heavy
    find(model, data, num_training=4, update_attr=False)
