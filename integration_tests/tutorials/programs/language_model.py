"""Small language models: a transformer over streamed text, and an RNN over pieces of long sequences."""

import math
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset

import fulmen as L
from fulmen.callbacks import ModelCheckpoint
from fulmen.loggers import CSVLogger

TEXT = "the quick brown fox jumps over the lazy dog and runs away from the old bear. " * 12
VOCABULARY = sorted(set(TEXT))


def encode(text):
    return torch.tensor([VOCABULARY.index(letter) for letter in text])


class Stream(IterableDataset):
    """Pieces of text without an end that is known."""

    def __init__(self, size=16, limit=None):
        self.size, self.limit = size, limit

    def __iter__(self):
        data = encode(TEXT)
        for number, start in enumerate(range(0, len(data) - self.size - 1, self.size)):
            if number == self.limit:
                return
            piece = data[start : start + self.size + 1]
            yield piece[:-1], piece[1:]


class Held(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, number):
        piece = encode(TEXT[7 * number : 7 * number + 17])
        return piece[:-1], piece[1:]


class Transformer(L.LightningModule):
    def __init__(self, size=16, width=24, heads=2):
        super().__init__()
        self.save_hyperparameters()
        self.embed = nn.Embedding(len(VOCABULARY), width)
        self.position = nn.Parameter(torch.zeros(size, width))
        self.block = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.1, batch_first=True)
        self.head = nn.Linear(width, len(VOCABULARY))
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(size), persistent=False)

    def forward(self, tokens):
        length = tokens.size(1)
        hidden = self.embed(tokens) + self.position[:length]
        return self.head(self.block(hidden, src_mask=self.mask[:length, :length], is_causal=True))

    def loss(self, batch):
        x, y = batch
        return F.cross_entropy(self(x).flatten(0, 1), y.flatten())

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log_dict({"train_loss": loss, "perplexity": loss.detach().exp()}, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch), prog_bar=True, on_epoch=True)

    def configure_optimizers(self):
        decay = [p for p in self.parameters() if p.dim() >= 2]
        plain = [p for p in self.parameters() if p.dim() < 2]
        groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=5e-3)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 0.5 * (1 + math.cos(math.pi * s / 60)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @torch.no_grad()
    def generate(self, start, count):
        tokens = encode(start).unsqueeze(0)
        for _ in range(count):
            logits = self(tokens[:, -self.hparams.size :])
            tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], dim=1)
        return "".join(VOCABULARY[token] for token in tokens[0].tolist())


def main():
    L.seed_everything(7)
    model = Transformer()
    checkpoint = ModelCheckpoint(dirpath="checkpoints", filename="{step}", every_n_train_steps=20, save_top_k=-1)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=60,
        val_check_interval=15,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        logger=CSVLogger("logs", name="text"),
        callbacks=[checkpoint],
        log_every_n_steps=5,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(Stream(), batch_size=4), DataLoader(Held(), batch_size=4))
    model.eval()
    return SimpleNamespace(
        model=model,
        trainer=trainer,
        weights=model.state_dict(),
        metrics=dict(trainer.callback_metrics),
        steps=trainer.global_step,
        epochs=trainer.current_epoch,
        text=model.generate("the quick", 20),
    )


class RNN(L.LightningModule):
    """Truncated backpropagation through time, as 2.x has it: pieces of a batch, stepped by hand."""

    def __init__(self, pieces=4):
        super().__init__()
        self.automatic_optimization = False
        self.rnn = nn.GRU(1, 12, batch_first=True)
        self.out = nn.Linear(12, 1)
        self.pieces = pieces

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        x, y = batch
        hidden = None
        losses = []
        for part, wanted in zip(x.chunk(self.pieces, 1), y.chunk(self.pieces, 1), strict=True):
            output, hidden = self.rnn(part, hidden)
            hidden = hidden.detach()
            loss = F.mse_loss(self.out(output), wanted)
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
            optimizer.step()
            losses.append(loss.detach())
        self.log("loss", torch.stack(losses).mean(), on_step=True, on_epoch=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.02)


def waves(count=16, length=32):
    phase = torch.linspace(0, 3, count).unsqueeze(1)
    wave = torch.sin(phase + 0.4 * torch.arange(length + 1)).unsqueeze(2)
    return wave[:, :-1], wave[:, 1:]


def truncated():
    L.seed_everything(9)
    model = RNN()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=8,
        logger=CSVLogger("logs", name="waves"),
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, DataLoader(torch.utils.data.TensorDataset(*waves()), batch_size=8))
    return SimpleNamespace(
        model=model,
        weights=model.state_dict(),
        metrics=dict(trainer.callback_metrics),
        steps=trainer.global_step,
    )


if __name__ == "__main__":
    main()
