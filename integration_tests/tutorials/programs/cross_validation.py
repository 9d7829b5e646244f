"""A Trainer in a function that is called for every fold; validation, test and prediction before any fit."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import fulmen as L
from fulmen.callbacks import EarlyStopping, ModelCheckpoint
from fulmen.loggers import CSVLogger


class FoldData(L.LightningDataModule):
    def __init__(self, fold=0, folds=3, batch_size=8):
        super().__init__()
        self.save_hyperparameters()
        self.setups = []

    def setup(self, stage):
        self.setups.append(stage)
        full = data()
        held = set(range(self.hparams.fold, len(full), self.hparams.folds))
        self.train = Subset(full, [one for one in range(len(full)) if one not in held])
        self.val = Subset(full, sorted(held))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.hparams.batch_size)

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader


class LitModel(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 10), nn.Tanh(), nn.Linear(10, 1))

    def forward(self, batch):
        return self.net(batch[0])

    def step(self, batch, name):
        loss = nn.functional.mse_loss(self(batch), batch[1])
        self.log(name, loss)
        return loss

    def training_step(self, batch, batch_idx):
        return self.step(batch, "train_loss")

    def validation_step(self, batch, batch_idx):
        self.step(batch, "val_loss")

    def test_step(self, batch, batch_idx):
        self.step(batch, "test_loss")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


def data():
    generator = torch.Generator().manual_seed(12)
    x = torch.randn(60, 5, generator=generator)
    return TensorDataset(x, x[:, :1] * x[:, 1:2])


def make_trainer(name, **arguments):
    return L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=CSVLogger("folds", name=name),
        callbacks=[ModelCheckpoint(monitor="val_loss"), EarlyStopping("val_loss", patience=5)],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )


def run_fold(fold):
    L.seed_everything(100 + fold)
    datamodule, model = FoldData(fold), LitModel()
    trainer = make_trainer(f"fold_{fold}")
    trainer.fit(model, datamodule=datamodule)
    (result,) = trainer.test(model, datamodule=datamodule, ckpt_path="best", verbose=False)
    return result["test_loss"], model


def main():
    losses, models = zip(*(run_fold(fold) for fold in (0, 1, 2, 0)), strict=True)
    return SimpleNamespace(losses=list(losses), weights=models[1].state_dict(), first=models[0], again=models[3])


def before_fit():
    """What users do to see whether everything fits together."""
    L.seed_everything(1)
    datamodule, model = FoldData(), LitModel()
    trainer = make_trainer("before")
    validated = trainer.validate(model, datamodule, verbose=False)
    tested = trainer.test(model, datamodule=datamodule, verbose=False)
    predicted = trainer.predict(model, datamodule=datamodule)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    trainer.fit(model, datamodule=datamodule)
    after = trainer.validate(model, datamodule, verbose=False)
    return SimpleNamespace(
        model=model,
        trainer=trainer,
        validated=validated,
        tested=tested,
        predicted=torch.cat(predicted),
        start=start,
        after=after,
        setups=datamodule.setups,
        weights=model.state_dict(),
    )


def one_data_module_for_two():
    L.seed_everything(2)
    datamodule = FoldData()
    models = [LitModel(), LitModel()]
    for number, model in enumerate(models):
        make_trainer(f"model_{number}").fit(model, datamodule=datamodule)
    return SimpleNamespace(weights=models[0].state_dict(), second=models[1].state_dict(), setups=datamodule.setups)


if __name__ == "__main__":
    main()
