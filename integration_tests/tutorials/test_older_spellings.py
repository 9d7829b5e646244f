"""What documents of 1.x still teach: each spelling works, or its error says what to write today."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import EarlyStopping

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def trainer(**arguments):
    return L.Trainer(**{"max_epochs": 1, **QUIET, **arguments})


def loader(count=16, batch_size=4):
    x = torch.linspace(-1, 1, count * 2).reshape(count, 2)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch_size)


class Line(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def loss(self, batch):
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


ARGUMENTS = [
    ({"gpus": 1}, "accelerator='gpu', devices=1"),
    ({"num_processes": 2}, "accelerator='cpu', devices=2"),
    ({"tpu_cores": 8}, "accelerator='tpu', devices=8"),
    ({"ipus": 1}, "accelerator='ipu'"),
    ({"auto_select_gpus": True}, "devices='auto'"),
    ({"replace_sampler_ddp": False}, "use_distributed_sampler=False"),
    ({"resume_from_checkpoint": "old.ckpt"}, "trainer.fit(model, ckpt_path='old.ckpt')"),
    ({"progress_bar_refresh_rate": 20}, "TQDMProgressBar(refresh_rate=20)"),
    ({"progress_bar_refresh_rate": 0}, "enable_progress_bar=False"),
    ({"weights_summary": "top"}, "ModelSummary(max_depth=1)"),
    ({"checkpoint_callback": False}, "enable_checkpointing=False"),
    ({"stochastic_weight_avg": True}, "StochasticWeightAveraging"),
    ({"flush_logs_every_n_steps": 10}, "CSVLogger"),
    ({"terminate_on_nan": True}, "detect_anomaly=True"),
    ({"amp_backend": "apex"}, "precision='16-mixed'"),
    ({"amp_level": "O1"}, "precision='16-mixed'"),
    ({"move_metrics_to_cpu": True}, "Leave it out"),
    ({"track_grad_norm": 2}, "grad_norm"),
    ({"multiple_trainloader_mode": "min_size"}, "CombinedLoader(loaders, mode='min_size')"),
    ({"distributed_backend": "ddp"}, "strategy='ddp'"),
    ({"strategy": "dp"}, "strategy='ddp'"),
    ({"accelerator": "ddp"}, "strategy='ddp'"),
    ({"log_gpu_memory": True}, "DeviceStatsMonitor"),
    ({"reload_dataloaders_every_epoch": True}, "reload_dataloaders_every_n_epochs=1"),
    ({"truncated_bptt_steps": 2}, "automatic_optimization = False"),
]


@pytest.mark.parametrize(("argument", "today"), ARGUMENTS, ids=lambda value: str(value)[:40])
def test_an_argument_of_1_x_is_refused_with_its_replacement(argument, today: str) -> None:
    with pytest.raises(L.ConfigurationError) as caught:
        trainer(**argument)
    assert today in str(caught.value)


def test_all_of_them_are_told_at_once() -> None:
    with pytest.raises(L.ConfigurationError) as caught:
        trainer(gpus=1, progress_bar_refresh_rate=20, weights_summary=None)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(("old", "new"), [("bf16", "bf16-mixed"), (64, "64-true"), ("32", "32-true"), (16, "16-mixed")])
def test_short_names_of_precision_are_understood(old, new: str) -> None:
    assert trainer(precision=old).precision == new


@pytest.mark.parametrize("name", ["fit_loop", "validate_loop", "test_loop", "predict_loop"])
def test_loops_are_not_replaced(name: str) -> None:
    with pytest.raises(AttributeError, match="Loops are functions"):
        getattr(trainer(), name)
    with pytest.raises(AttributeError, match="Loops are functions"):
        setattr(trainer(), name, object())
    assert not hasattr(L.Trainer, name)


@pytest.mark.parametrize("name", ["add_argparse_args", "from_argparse_args"])
def test_argparse_helpers_name_the_replacement(name: str) -> None:
    with pytest.raises(AttributeError, match=r"Trainer\(\*\*vars"):
        getattr(L.Trainer, name)


def with_method(name: str, parameters: str) -> Line:
    found: dict = {}
    exec(f"def {name}({parameters}): return None", found)
    return type("Older", (Line,), {name: found[name]})()


@pytest.mark.parametrize(
    ("name", "run", "today"),
    [
        ("training_epoch_end", "fit", "on_train_epoch_end"),
        ("validation_epoch_end", "fit", "on_validation_epoch_end"),
        ("validation_epoch_end", "validate", "on_validation_epoch_end"),
        ("test_epoch_end", "test", "on_test_epoch_end"),
    ],
)
def test_epoch_ends_with_outputs_are_refused_with_what_to_do(name: str, run: str, today: str) -> None:
    model = with_method(name, "self, outputs")
    with pytest.raises(L.FulmenError, match=f"{name}.*{today}"):
        getattr(trainer(), run)(model, loader())


@pytest.mark.parametrize(
    ("name", "parameters", "today"),
    [
        ("on_epoch_start", "self", "on_train_epoch_start"),
        ("on_epoch_end", "self", "on_train_epoch_end"),
        ("on_batch_start", "self, batch, batch_idx", "on_train_batch_start"),
        ("on_batch_end", "self", "on_train_batch_end"),
        ("training_step_end", "self, outputs", "training_step"),
        ("on_pretrain_routine_start", "self", "on_fit_start"),
        ("configure_sharded_model", "self", "configure_model"),
        ("tbptt_split_batch", "self, batch, split_size", "training_step"),
        ("get_progress_bar_dict", "self", "prog_bar=True"),
    ],
)
def test_hooks_that_nothing_calls_are_reported(name: str, parameters: str, today: str) -> None:
    with pytest.warns(UserWarning, match=f"{name}.*{today}"):
        trainer().fit(with_method(name, parameters), loader())


@pytest.mark.parametrize(
    ("name", "parameters", "today"),
    [
        ("on_train_epoch_end", "self, outputs", r"on_train_epoch_end\(self\)"),
        ("optimizer_step", "self, epoch, batch_idx, optimizer, optimizer_idx, closure", "optimizer_closure"),
        ("on_before_optimizer_step", "self, optimizer, optimizer_idx", r"\(self, optimizer\)"),
        ("on_train_batch_start", "self, batch, batch_idx, dataloader_idx", r"\(self, batch, batch_idx\)"),
    ],
)
def test_hooks_with_other_arguments_are_told_their_arguments(name: str, parameters: str, today: str) -> None:
    with pytest.warns(UserWarning, match=f"{name}.*{today}"), pytest.raises(TypeError, match=name):
        trainer().fit(with_method(name, parameters), loader())


def test_arguments_with_defaults_do_no_harm() -> None:
    class Older(Line):
        def on_train_batch_start(self, batch, batch_idx, unused=0):
            self.seen = unused

        def on_train_epoch_end(self, unused=None):
            self.ended = unused

    model = Older()
    trainer().fit(model, loader())
    assert (model.seen, model.ended) == (0, None)


def test_a_step_that_requires_an_index_gets_it_where_there_is_only_one() -> None:
    class Older(Line):
        def training_step(self, batch, batch_idx, optimizer_idx):
            assert optimizer_idx == 0
            return self.loss(batch)

        def validation_step(self, batch, batch_idx, dataloader_idx):
            self.log("val_loss", self.loss(batch))
            assert dataloader_idx == 0

    run = trainer()
    run.fit(Older(), loader(), loader())
    assert run.global_step == 4
    assert "val_loss" in run.callback_metrics


def test_minus_one_leaves_out_the_rest_of_each_epoch() -> None:
    class Skipping(Line):
        steps = 0

        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx == 2 else None

        def training_step(self, batch, batch_idx):
            self.steps += 1
            return self.loss(batch)

    model, run = Skipping(), trainer(max_epochs=3)
    run.fit(model, loader())
    assert (model.steps, run.current_epoch) == (6, 3)


def test_early_stopping_is_bent_as_older_programs_do() -> None:
    class AtTheEndOfTraining(EarlyStopping):
        checks = 0

        def on_validation_end(self, trainer, pl_module):
            pass

        def on_train_epoch_end(self, trainer, pl_module):
            self.checks += 1
            self._run_early_stopping_check(trainer)

    class Constant(Line):
        def validation_step(self, batch, batch_idx):
            self.log("val_loss", 1.0)

    stop, run = AtTheEndOfTraining("val_loss", patience=2), None
    run = trainer(max_epochs=20, callbacks=[stop])
    run.fit(Constant(), loader(), loader())
    assert run.current_epoch == 3  # the first is the best, two more do not improve
    assert stop.checks == 3


def test_assigning_hparams_names_the_replacement() -> None:
    class Older(L.LightningModule):
        def __init__(self, hparams):
            super().__init__()
            self.hparams = hparams

    with pytest.raises(AttributeError, match="save_hyperparameters"):
        Older({"lr": 0.1})


def test_step_outputs_with_log_and_progress_bar_still_train() -> None:
    class Older(Line):
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            return {"loss": loss, "log": {"train_loss": loss.detach()}, "progress_bar": {"train_loss": loss.detach()}}

    model, run = Older(), trainer()
    before = model.layer.weight.detach().clone()
    run.fit(model, loader())
    assert run.global_step == 4
    assert not torch.equal(before, model.layer.weight)


def test_a_misspelt_hook_is_reported_with_the_right_one() -> None:
    with pytest.warns(UserWarning, match="validaton_step.*Did you mean validation_step"):
        trainer().fit(with_method_of_module("validaton_step"), loader())


def with_method_of_module(name: str) -> Line:
    class Misspelt(L.LightningModule):
        training_step, configure_optimizers, loss = Line.training_step, Line.configure_optimizers, Line.loss

        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.layer = torch.nn.Linear(2, 1)

    setattr(Misspelt, name, lambda self, batch, batch_idx: None)
    return Misspelt()


def test_the_learning_rate_is_found_as_1_x_did_it(tmp_path) -> None:
    pytest.importorskip("fulmen_tuner")
    L.seed_everything(2)
    model = Line(lr=1e-4)
    run = trainer(auto_lr_find=True, default_root_dir=str(tmp_path))
    found = run.tune(model, loader(64))["lr_find"]
    assert model.hparams.lr == found.suggestion() != 1e-4
    run.fit(model, loader(64))
    assert run.optimizers[0].param_groups[0]["lr"] == model.hparams.lr


def test_the_learning_rate_finder_behind_the_trainer(tmp_path) -> None:
    pytest.importorskip("fulmen_tuner")
    L.seed_everything(2)
    model = Line()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lr_finder = trainer(default_root_dir=str(tmp_path)).tuner.lr_find(model, loader(64), num_training=60)
    assert 1 < len(lr_finder.results["lr"]) == len(lr_finder.results["loss"]) <= 60
    assert lr_finder.suggestion() in lr_finder.results["lr"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    figure = lr_finder.plot(suggest=True)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
