"""An autoencoder: the first program of most tutorials."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn, optim, utils

import fulmen as L
from fulmen.callbacks import ModelCheckpoint
from fulmen.loggers import CSVLogger


class LitAutoEncoder(L.LightningModule):
    def __init__(self, hidden: int = 16, latent: int = 3, lr: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(8 * 8, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 8 * 8))

    def forward(self, x):
        return self.encoder(x.view(x.size(0), -1))

    def training_step(self, batch, batch_idx):
        loss = self.reconstruction_loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.reconstruction_loss(batch), prog_bar=True)

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self.reconstruction_loss(batch))

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        x, _ = batch
        return self.decoder(self(x))

    def reconstruction_loss(self, batch):
        x, _ = batch
        x = x.view(x.size(0), -1)
        return F.mse_loss(self.decoder(self.encoder(x)), x)

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.hparams.lr)


class LitFromParts(L.LightningModule):
    """The other form that tutorials have: encoder and decoder are made outside."""

    def __init__(self, encoder, decoder, lr=1e-2):
        super().__init__()
        self.save_hyperparameters(ignore=["encoder", "decoder"])
        self.encoder = encoder
        self.decoder = decoder

    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        loss = F.mse_loss(self.decoder(self.encoder(x)), x)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.hparams["lr"])


def images(count=240):
    """Pictures of 8 × 8 points: bars at three angles with some noise."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (count,), generator=generator)
    kinds = torch.stack([torch.eye(8), torch.eye(8).flip(0), torch.zeros(8, 8)])
    kinds[2, 3] = 1
    pictures = kinds[labels] * 0.9 + 0.1 * torch.rand(count, 8, 8, generator=generator)
    return utils.data.TensorDataset(pictures.unsqueeze(1), labels)


def main():
    L.seed_everything(42, workers=True)
    split = utils.data.random_split(images(), [160, 40, 40], generator=torch.Generator().manual_seed(7))
    train_set, val_set, test_set = split
    train_loader = utils.data.DataLoader(train_set, batch_size=16, shuffle=True)
    valid_loader = utils.data.DataLoader(val_set, batch_size=16)
    test_loader = utils.data.DataLoader(test_set, batch_size=16)

    autoencoder = LitAutoEncoder(hidden=24)
    checkpoint_callback = ModelCheckpoint(monitor="val_loss", mode="min", save_top_k=2, save_last=True)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=4,
        logger=CSVLogger("logs", name="autoencoder"),
        callbacks=[checkpoint_callback],
        log_every_n_steps=1,
        enable_progress_bar=False,
    )
    trainer.fit(model=autoencoder, train_dataloaders=train_loader, val_dataloaders=valid_loader)
    weights = {name: value.clone() for name, value in autoencoder.state_dict().items()}
    metrics = dict(trainer.callback_metrics)
    results = trainer.test(dataloaders=test_loader, ckpt_path="best", verbose=False)

    best = LitAutoEncoder.load_from_checkpoint(checkpoint_callback.best_model_path)
    best.eval()
    with torch.no_grad():
        embeddings = best(torch.stack([x for x, _ in test_set]))
    predictions = trainer.predict(best, dataloaders=test_loader)
    return SimpleNamespace(
        model=autoencoder,
        trainer=trainer,
        weights=weights,
        metrics=metrics,
        results=results,
        checkpoint=checkpoint_callback,
        best=best,
        embeddings=embeddings,
        predictions=predictions,
        test_set=test_set,
    )


def from_parts():
    """Parts that are made outside, given again to load a checkpoint."""
    L.seed_everything(3)
    encoder = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 64))
    model = LitFromParts(encoder, decoder, lr=5e-3)
    trainer = L.Trainer(limit_train_batches=5, max_epochs=1, accelerator="cpu", enable_progress_bar=False, logger=False)
    trainer.fit(model, utils.data.DataLoader(images(), batch_size=16))
    path = trainer.checkpoint_callback.best_model_path
    fresh = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    fresh_decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 64))
    loaded = LitFromParts.load_from_checkpoint(path, encoder=fresh, decoder=fresh_decoder)
    return SimpleNamespace(model=model, loaded=loaded, path=path, weights=model.state_dict())


if __name__ == "__main__":
    main()
