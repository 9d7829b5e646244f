"""A GAN as documents of 1.x have it: `training_step` is called for each optimizer, with its index."""

from collections import OrderedDict
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import fulmen as L
from fulmen.loggers import CSVLogger


class GAN(L.LightningModule):
    def __init__(self, latent_dim=8, lr=2e-3):
        super().__init__()
        self.save_hyperparameters()
        self.generator = nn.Sequential(nn.Linear(latent_dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, 64), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, z):
        return self.generator(z)

    def training_step(self, batch, batch_idx, optimizer_idx):
        (imgs,) = batch
        z = torch.randn(imgs.shape[0], self.hparams.latent_dim).type_as(imgs)
        real, made = torch.ones(imgs.size(0), 1), torch.zeros(imgs.size(0), 1)

        if optimizer_idx == 0:  # train the generator
            self.generated_imgs = self(z)
            g_loss = F.binary_cross_entropy_with_logits(self.discriminator(self.generated_imgs), real)
            self.log("g_loss", g_loss, prog_bar=True)
            return OrderedDict({"loss": g_loss, "z": z})

        if optimizer_idx == 1:  # train the discriminator
            real_loss = F.binary_cross_entropy_with_logits(self.discriminator(imgs), real)
            fake_loss = F.binary_cross_entropy_with_logits(self.discriminator(self(z).detach()), made)
            d_loss = (real_loss + fake_loss) / 2
            self.log("d_loss", d_loss, prog_bar=True)
            return d_loss

    def configure_optimizers(self):
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=self.hparams.lr, betas=(0.5, 0.999))
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=self.hparams.lr, betas=(0.5, 0.999))
        return [opt_g, opt_d], []


def crosses(count=64):
    generator = torch.Generator().manual_seed(5)
    base = torch.maximum(torch.eye(8), torch.eye(8).flip(0)) * 2 - 1
    pictures = base.flatten() + 0.05 * torch.randn(count, 64, generator=generator)
    return torch.utils.data.TensorDataset(pictures)


def main():
    L.seed_everything(11)
    model = GAN()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=CSVLogger("logs", name="gan"),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(crosses(), batch_size=16))
    return SimpleNamespace(model=model, trainer=trainer)


if __name__ == "__main__":
    main()
