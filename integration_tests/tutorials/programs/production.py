"""Out of training: a model for inference, as it is and in other programs' formats."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L


class SimpleModel(L.LightningModule):
    def __init__(self, width: int = 8):
        super().__init__()
        self.save_hyperparameters()
        self.example_input_array = torch.randn(2, 6)
        self.net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 2))

    def forward(self, x):
        return torch.relu(self.net(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def predict_step(self, batch, batch_idx):
        x, _ = batch
        return self(x).argmax(1)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


class PlainModel(nn.Module):
    """The same network without any framework."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, x):
        return torch.relu(self.net(x))


def points(count=48):
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(count, 6, generator=generator)
    return TensorDataset(x, (x.sum(1) > 0).long())


def main():
    L.seed_everything(13)
    model = SimpleModel()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(points(), batch_size=8, shuffle=True))
    path = trainer.checkpoint_callback.best_model_path
    return SimpleNamespace(model=model, trainer=trainer, path=path, weights=model.state_dict())


if __name__ == "__main__":
    main()
