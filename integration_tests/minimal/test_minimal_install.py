"""The core, one accelerator, one strategy and precision, and nothing else: everything essential works."""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_interfaces import ConfigurationError

ABSENT = ["fulmen", "fulmen_callbacks", "fulmen_logger_csv", "tensorboard", "tqdm", "lightning"]


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", torch.nn.functional.mse_loss(self.layer(x), y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader():
    x = torch.arange(24, dtype=torch.float32).reshape(6, 4) / 24
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=2)


@pytest.mark.parametrize("name", ABSENT)
def test_nothing_else_is_installed(name):
    assert importlib.util.find_spec(name) is None


def test_a_default_trainer_trains_validates_saves_and_goes_on(tmp_path):
    model, trainer = Line(), L.Trainer(max_epochs=2)
    trainer.fit(model, loader(), loader())
    assert trainer.global_step == 6
    assert trainer.callback_metrics["val_loss"] < 0.5
    trainer.save_checkpoint(tmp_path / "line.ckpt")

    again = Line()
    longer = L.Trainer(max_epochs=3)
    longer.fit(again, loader(), loader(), ckpt_path=tmp_path / "line.ckpt")
    assert longer.global_step == 9
    assert trainer.validate(model, loader(), verbose=False)[0]["val_loss"] >= longer.callback_metrics["val_loss"]


def test_what_is_not_installed_is_named_with_the_distribution_that_brings_it():
    with pytest.raises(ConfigurationError) as error:
        L.Trainer(strategy="ddp", logger="csv")
    assert "fulmen-strategy-ddp" in str(error.value)
    assert "fulmen-logger-csv" in str(error.value)


def test_importing_and_making_a_trainer_import_little_beyond_torch():
    program = """
import sys, json, torch
before = set(sys.modules)
import fulmen_core
fulmen_core.Trainer, fulmen_core.LightningModule
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    modules = json.loads(output)
    heavy = {"pydantic", "rich", "tqdm", "tensorboard", "psutil", "fsspec", "torchmetrics"}
    assert not heavy & {name.partition(".")[0] for name in modules}
    foreign = [name for name in modules if not name.startswith("fulmen")]
    assert len(foreign) <= 20, foreign
