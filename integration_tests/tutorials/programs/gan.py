"""A GAN: two optimizers, stepped by hand in `training_step`."""

import os
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.loggers import CSVLogger


class Generator(nn.Module):
    def __init__(self, latent_dim, img_shape):
        super().__init__()
        self.img_shape = img_shape
        self.model = nn.Sequential(
            nn.Linear(latent_dim, 32),
            nn.BatchNorm1d(32),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(32, 64),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.model(z).view(z.size(0), *self.img_shape)


class Discriminator(nn.Module):
    def __init__(self, img_shape):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Sigmoid())

    def forward(self, img):
        return self.model(img)


class GAN(L.LightningModule):
    def __init__(self, channels, width, height, latent_dim: int = 8, lr: float = 2e-3, b1: float = 0.5, **kwargs):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        shape = (channels, width, height)
        self.generator = Generator(self.hparams.latent_dim, shape)
        self.discriminator = Discriminator(shape)
        self.validation_z = torch.randn(8, self.hparams.latent_dim)
        self.example_input_array = torch.zeros(2, self.hparams.latent_dim)

    def forward(self, z):
        return self.generator(z)

    def adversarial_loss(self, y_hat, y):
        return F.binary_cross_entropy(y_hat, y)

    def training_step(self, batch):
        imgs, _ = batch
        optimizer_g, optimizer_d = self.optimizers()
        z = torch.randn(imgs.shape[0], self.hparams.latent_dim).type_as(imgs)

        # train the generator: what it makes shall be taken for real
        self.toggle_optimizer(optimizer_g)
        self.generated_imgs = self(z)
        assert all(not p.requires_grad for p in self.discriminator.parameters())
        valid = torch.ones(imgs.size(0), 1).type_as(imgs)
        g_loss = self.adversarial_loss(self.discriminator(self.generated_imgs), valid)
        self.log("g_loss", g_loss, prog_bar=True)
        self.manual_backward(g_loss)
        optimizer_g.step()
        optimizer_g.zero_grad()
        self.untoggle_optimizer(optimizer_g)

        # train the discriminator: tell real from made
        self.toggle_optimizer(optimizer_d)
        real_loss = self.adversarial_loss(self.discriminator(imgs), valid)
        fake = torch.zeros(imgs.size(0), 1).type_as(imgs)
        fake_loss = self.adversarial_loss(self.discriminator(self(z).detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        self.log_dict({"d_loss": d_loss, "d_real": real_loss, "d_fake": fake_loss}, prog_bar=True, on_epoch=True)
        self.manual_backward(d_loss)
        optimizer_d.step()
        optimizer_d.zero_grad()
        self.untoggle_optimizer(optimizer_d)

        scheduler_g, _ = self.lr_schedulers()
        if self.trainer.is_last_batch:
            scheduler_g.step()

    def validation_step(self, batch, batch_idx):
        pass

    def on_validation_epoch_end(self):
        z = self.validation_z.type_as(self.generator.model[0].weight)
        sample_imgs = self(z)
        os.makedirs(self.trainer.log_dir, exist_ok=True)
        torch.save(sample_imgs, os.path.join(self.logger.log_dir, f"images_{self.current_epoch}.pt"))

    def configure_optimizers(self):
        lr, b1 = self.hparams.lr, self.hparams.b1
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=(b1, 0.999))
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=(b1, 0.999))
        schedulers = [torch.optim.lr_scheduler.ExponentialLR(one, 0.9) for one in (opt_g, opt_d)]
        return [opt_g, opt_d], schedulers


def crosses(count=96):
    generator = torch.Generator().manual_seed(5)
    base = torch.maximum(torch.eye(8), torch.eye(8).flip(0)) * 2 - 1
    pictures = base + 0.05 * torch.randn(count, 1, 8, 8, generator=generator)
    return TensorDataset(pictures, torch.zeros(count, dtype=torch.long))


def main():
    L.seed_everything(11)
    loader = DataLoader(crosses(), batch_size=16, shuffle=True)
    model = GAN(1, 8, 8, note="kept")
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=3,
        logger=CSVLogger("logs", name="gan"),
        log_every_n_steps=1,
        enable_progress_bar=False,
    )
    trainer.fit(model, loader, DataLoader(crosses(16), batch_size=16))
    return SimpleNamespace(
        model=model,
        trainer=trainer,
        weights=model.state_dict(),
        metrics=dict(trainer.callback_metrics),
        bar=sorted(trainer.progress_bar_metrics),
        steps=trainer.global_step,
        rate=trainer.optimizers[0].param_groups[0]["lr"],
    )


if __name__ == "__main__":
    main()
