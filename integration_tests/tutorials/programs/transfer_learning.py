"""Transfer learning: a frozen backbone, then fine-tuning; accumulation, clipping, and trial runs."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import Callback
from fulmen.utilities import grad_norm


def pretrained_backbone():
    torch.manual_seed(3)
    backbone = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8), nn.BatchNorm1d(8))
    with torch.no_grad():
        for _ in range(10):
            backbone(torch.randn(32, 10))  # its statistics are not those of a fresh one
    return backbone


class TransferLearning(L.LightningModule):
    """The backbone is a fixed feature extractor."""

    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.feature_extractor = pretrained_backbone()
        self.feature_extractor.eval()
        for parameter in self.feature_extractor.parameters():
            parameter.requires_grad = False
        self.classifier = nn.Linear(8, 3)
        self.modes = []

    def forward(self, x):
        self.feature_extractor.eval()
        with torch.no_grad():
            representations = self.feature_extractor(x).flatten(1)
        return self.classifier(representations)

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.modes.append(self.feature_extractor.training)
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", nn.functional.cross_entropy(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(filter(lambda p: p.requires_grad, self.parameters()), lr=self.hparams.lr)


class Finetuned(TransferLearning):
    """The backbone learns, too, once it is unfrozen."""

    def forward(self, x):
        return self.classifier(self.feature_extractor(x).flatten(1))


class Measured(TransferLearning):
    """Logs the norms of its gradients."""

    def on_before_optimizer_step(self, optimizer):
        self.log_dict(grad_norm(self.classifier, norm_type=2), on_step=True)


class UnfreezeAt(Callback):
    """Freezes the backbone, and lets it learn from some epoch on with a smaller rate."""

    def __init__(self, epoch=2):
        self.epoch = epoch
        self.trained_from = None

    def on_fit_start(self, trainer, pl_module):
        pl_module.feature_extractor.requires_grad_(False)

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch < self.epoch:
            pl_module.feature_extractor.eval()
            return
        if self.trained_from is None:
            pl_module.feature_extractor.train()
            pl_module.feature_extractor.requires_grad_(True)
            optimizer = trainer.optimizers[0]
            optimizer.add_param_group({"params": list(pl_module.feature_extractor.parameters()), "lr": 0.005})
            self.trained_from = trainer.current_epoch


class GradientWatch(Callback):
    """Keeps the norm of the gradients before and the largest gradient after clipping."""

    def __init__(self):
        self.before, self.after = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.before.append(self.norm(pl_module))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.after.append(self.norm(pl_module))

    def norm(self, module):
        gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
        return torch.cat(gradients).norm().item() if gradients else None


def loaders(count=64, batch_size=8, shuffle=True):
    generator = torch.Generator().manual_seed(4)
    y = torch.randint(3, (count,), generator=generator)
    x = 2 * torch.eye(10)[y] + 0.5 * torch.randn(count, 10, generator=generator)
    data = TensorDataset(x, y)
    return DataLoader(data, batch_size=batch_size, shuffle=shuffle), DataLoader(data, batch_size=batch_size)


def train(model_class=TransferLearning, callbacks=(), count=64, shuffle=True, **arguments):
    L.seed_everything(21)
    model = model_class()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"max_epochs": 4, "logger": False, "enable_checkpointing": False, **arguments}
    trainer = L.Trainer(
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(model, *loaders(count, shuffle=shuffle))
    return SimpleNamespace(
        model=model,
        trainer=trainer,
        before=before,
        weights=model.state_dict(),
        metrics=dict(trainer.callback_metrics),
        steps=trainer.global_step,
    )


def main():
    return train()


def fine_tuning():
    callback = UnfreezeAt(2)
    return train(Finetuned, [callback])


def accumulated():
    return train(accumulate_grad_batches=4, limit_val_batches=0)


def accumulated_with_a_rest():
    return train(accumulate_grad_batches=3, limit_val_batches=0, count=60)


def clipped_by_norm():
    watch = GradientWatch()
    ran = train(callbacks=[watch], gradient_clip_val=0.1, limit_val_batches=0)
    return SimpleNamespace(**vars(ran), watch=watch)


def clipped_by_value():
    watch = GradientWatch()
    ran = train(callbacks=[watch], gradient_clip_val=0.01, gradient_clip_algorithm="value", limit_val_batches=0)
    return SimpleNamespace(**vars(ran), watch=watch)


def with_norms():
    watch = GradientWatch()
    ran = train(Measured, [watch], limit_val_batches=0)
    return SimpleNamespace(**vars(ran), watch=watch)


def overfitted():
    return train(overfit_batches=2, max_epochs=20)


def limited():
    return train(limit_train_batches=0.5, limit_val_batches=1, max_epochs=2)


def trial():
    return train(fast_dev_run=3, max_epochs=100)


if __name__ == "__main__":
    main()
