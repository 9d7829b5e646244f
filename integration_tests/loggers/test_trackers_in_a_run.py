"""Runs that a tracker follows: everything that a fit logs and saves comes to its store, without a network."""

import glob
import time

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import ModelCheckpoint
from fulmen.loggers import MLFlowLogger, WandbLogger


class Line(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


class Losses(L.Callback):
    """What was truly computed, step by step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.seen.append(float(outputs["loss"]))


def fit(logger, *, fails=False):
    losses, checkpoint = Losses(), ModelCheckpoint(monitor="loss", save_top_k=1)
    callbacks = [losses, checkpoint]
    if fails:
        callbacks.append(Fails())
    data = DataLoader(TensorDataset(torch.ones(6, 4), torch.ones(6, 1)), batch_size=2)
    trainer = L.Trainer(
        max_epochs=1,
        logger=logger,
        log_every_n_steps=1,
        callbacks=callbacks,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Line(), data)
    return losses.seen, checkpoint


class Fails(L.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        raise RuntimeError("on purpose")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for folder in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(folder, str(tmp_path / "wandb home"))
    yield wandb
    wandb.setup().finish_all_active_runs()


def test_wandb_offline_gets_metrics_hyperparameters_and_the_checkpoint(tmp_path, offline):
    logger = WandbLogger(project="lines", save_dir=tmp_path, offline=True, log_model=True)
    losses, checkpoint = fit(logger)
    run = logger.experiment
    assert run.summary["loss"] == pytest.approx(losses[-1])
    assert run.summary["trainer/global_step"] == 2
    assert run.config["lr"] == 0.1
    assert checkpoint.best_model_path.startswith(str(tmp_path / "lines" / run.id / "checkpoints"))
    run.finish()
    (file,) = glob.glob(f"{tmp_path}/wandb/offline-run-*/run-{run.id}.wandb")
    assert comes(f"model-{run.id}".encode(), file)


def comes(text, file):
    """Whether a file holds a text, soon: another process writes it."""
    for _ in range(600):
        with open(file, "rb") as stored:
            if text in stored.read():
                return True
        time.sleep(0.05)
    return False


@pytest.fixture
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return pytest.importorskip("mlflow.tracking")


def test_mlflow_gets_metrics_hyperparameters_and_the_checkpoint(tmp_path, no_server):
    logger = MLFlowLogger("lines", save_dir=tmp_path, log_model=True)
    losses, checkpoint = fit(logger)
    client = no_server.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    run = client.get_run(logger.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1"}
    logged = [(metric.step, metric.value) for metric in client.get_metric_history(logger.run_id, "loss")]
    assert logged == [(step, pytest.approx(loss)) for step, loss in enumerate(losses)]
    folder = tmp_path / str(logger.name) / str(logger.run_id) / "checkpoints"
    assert checkpoint.best_model_path.startswith(str(folder))
    name = checkpoint.best_model_path.removeprefix(f"{folder}/").removesuffix(".ckpt")
    kept = client.download_artifacts(logger.run_id, f"{name}/{name}.ckpt", str(tmp_path))
    state = torch.load(kept, weights_only=False)["state_dict"]
    assert state.keys() == Line().state_dict().keys()

    broken = MLFlowLogger("lines", save_dir=tmp_path)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(broken, fails=True)
    assert client.get_run(broken.run_id).info.status == "FAILED"
