"""A logger that was asked for the module's graph gets it when a fit begins."""

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.loggers import TensorBoardLogger


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.example_input_array = torch.zeros(2, 4)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(tmp_path, **options):
    logger = TensorBoardLogger(tmp_path, **options)
    data = DataLoader(TensorDataset(torch.ones(6, 4), torch.ones(6, 1)), batch_size=2)
    trainer = L.Trainer(max_epochs=1, logger=logger, log_every_n_steps=1, enable_checkpointing=False)
    trainer.fit(Line(), data)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    return events.Tags()


def test_the_graph_is_written_where_it_was_asked_for(tmp_path):
    assert fitted(tmp_path, log_graph=True)["graph"]


def test_without_being_asked_only_the_metrics_are_written(tmp_path):
    tags = fitted(tmp_path)
    assert not tags["graph"]
    assert "loss" in tags["scalars"]
