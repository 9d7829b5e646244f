"""Three steps of training with what is installed; the build session runs it where this tree was never seen."""

import torch
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


x = torch.arange(24, dtype=torch.float32).reshape(6, 4) / 24
data = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=2)
model = Line()
before = model.layer.weight.detach().clone()
trainer = L.Trainer(max_epochs=1, log_every_n_steps=1)
trainer.fit(model, data)
if trainer.global_step != 3 or torch.equal(before, model.layer.weight):
    raise SystemExit("The smoke program did not train.")
restored = Line.load_from_checkpoint(trainer.checkpoint_callback.best_model_path)
if not torch.equal(restored.layer.weight, model.layer.weight):
    raise SystemExit("The checkpoint does not hold the weights.")
print("trained, saved and loaded with", L.__name__, torch.__version__)
