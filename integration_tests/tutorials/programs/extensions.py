"""One's own callbacks, logger and progress bar."""

import sys
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import Callback, LambdaCallback, ModelCheckpoint, ProgressBar, TQDMProgressBar
from fulmen.loggers import Logger
from fulmen.utilities import rank_zero_only


class LitModel(L.LightningModule):
    def __init__(self, lr: float = 0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.mse_loss(self.layer(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.mse_loss(self.layer(x), y)
        self.log("val_loss", loss, prog_bar=True)
        return {"val_loss": loss, "x": x}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    def configure_callbacks(self):
        return [MetricTracker()]


class MyPrintingCallback(Callback):
    def __init__(self):
        self.lines = []

    def on_train_start(self, trainer, pl_module):
        self.lines.append("Training is starting")

    def on_train_end(self, trainer, pl_module):
        self.lines.append("Training is ending")


class Counter(Callback):
    """Counts epochs and batches, and keeps the counts in checkpoints."""

    def __init__(self, what="epochs", verbose=True):
        self.what = what
        self.verbose = verbose
        self.state = {"epochs": 0, "batches": 0}

    @property
    def state_key(self) -> str:
        return f"Counter[what={self.what}]"

    def on_train_epoch_end(self, *args, **kwargs):
        if self.what == "epochs":
            self.state["epochs"] += 1

    def on_train_batch_end(self, *args, **kwargs):
        if self.what == "batches":
            self.state["batches"] += 1

    def load_state_dict(self, state_dict):
        self.state.update(state_dict)

    def state_dict(self):
        return self.state.copy()


class MetricTracker(Callback):
    """Keeps every validation loss, and logs a value of its own."""

    def __init__(self):
        self.collection = []

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        assert outputs["x"] is batch[0]

    def on_validation_epoch_end(self, trainer, pl_module):
        if trainer.sanity_checking:
            return
        self.collection.append(trainer.logged_metrics["val_loss"].item())
        pl_module.log("lowest", min(self.collection))

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        checkpoint["tracked"] = list(self.collection)


class HistoryLogger(Logger):
    """Keeps everything in memory."""

    def __init__(self):
        super().__init__()
        self.history, self.hparams, self.ended, self.saves, self.graph = [], None, None, 0, None

    @property
    def name(self):
        return "MyLogger"

    @property
    def version(self):
        return "0.1"

    @rank_zero_only
    def log_hyperparams(self, params, *args, **kwargs):
        self.hparams = dict(params)

    @rank_zero_only
    def log_metrics(self, metrics, step):
        self.history.append((step, dict(metrics)))

    @rank_zero_only
    def save(self):
        super().save()
        self.saves += 1

    @rank_zero_only
    def finalize(self, status):
        self.ended = status


class LitProgressBar(TQDMProgressBar):
    def init_validation_tqdm(self):
        bar = super().init_validation_tqdm()
        bar.unit = " pieces"
        return bar

    def get_metrics(self, trainer, model):
        items = super().get_metrics(trainer, model)
        items.pop("v_num", None)
        items["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        return items


class LineProgressBar(ProgressBar):
    """Writes a share of the epoch as text."""

    def __init__(self):
        super().__init__()
        self.enabled, self.lines = True, []

    def disable(self):
        self.enabled = False

    def enable(self):
        self.enabled = True

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        percent = (batch_idx + 1) / self.total_train_batches * 100
        self.lines.append(f"{percent:.0f} % {sorted(self.get_metrics(trainer, pl_module))}")
        sys.stdout.flush()


def loader():
    x = torch.linspace(-1, 1, 36).reshape(12, 3)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=3)


def main(max_epochs=2, ckpt_path=None, bar=None, quiet=True):
    L.seed_everything(17)
    model = LitModel()
    logger, printing = HistoryLogger(), MyPrintingCallback()
    epochs, batches = Counter("epochs"), Counter("batches")
    seen = []
    hooks = LambdaCallback(
        setup=lambda trainer, pl_module, stage: seen.append(f"setup {stage}"),
        on_train_epoch_start=lambda trainer, pl_module: seen.append(f"epoch {trainer.current_epoch}"),
    )
    checkpoint = ModelCheckpoint(dirpath="kept", save_last=True)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        logger=logger,
        callbacks=[printing, epochs, batches, hooks, checkpoint, *([bar] if bar else [])],
        log_every_n_steps=2,
        enable_progress_bar=None if bar else not quiet,
        enable_model_summary=False,
    )
    trainer.fit(model, loader(), loader(), ckpt_path=ckpt_path)
    return SimpleNamespace(
        model=model,
        trainer=trainer,
        logger=logger,
        history=logger.history,
        printed=printing.lines,
        epochs=epochs.state,
        batches=batches.state,
        seen=seen,
        tracked=[one.collection for one in trainer.callbacks if isinstance(one, MetricTracker)],
        weights=model.state_dict(),
        metrics=dict(trainer.callback_metrics),
        path=checkpoint.last_model_path,
    )


def with_lines():
    bar = LineProgressBar()
    ran = main(bar=bar)
    return SimpleNamespace(lines=bar.lines, trainer=ran.trainer, bar=bar)


def with_tqdm():
    bar = LitProgressBar()
    ran = main(bar=bar)
    return SimpleNamespace(shown=sorted(bar.get_metrics(ran.trainer, ran.model)), trainer=ran.trainer, bar=bar)


if __name__ == "__main__":
    main()
