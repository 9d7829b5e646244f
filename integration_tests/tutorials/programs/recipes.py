"""Recipes from longer tutorials: warm-up by hand, an online classifier, meta-learning, reinforcement learning."""

import os
from collections import deque, namedtuple
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import fulmen as L
from fulmen.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from fulmen.loggers import CSVLogger


def blobs(count=64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (count,), generator=generator)
    return TensorDataset(torch.eye(6)[y] + 0.4 * torch.randn(count, 6, generator=generator), y)


def trainer(**arguments):
    options = {"logger": CSVLogger("logs", name="recipe"), "max_epochs": 3, "log_every_n_steps": 1, **arguments}
    return L.Trainer(accelerator="auto", devices=1, enable_progress_bar=False, enable_model_summary=False, **options)


class CosineWarmupScheduler(optim.lr_scheduler.LRScheduler):
    def __init__(self, optimizer, warmup, max_iters):
        self.warmup, self.max_num_iters = warmup, max_iters
        super().__init__(optimizer)

    def get_lr(self):
        lr_factor = 0.5 * (1 + np.cos(np.pi * self.last_epoch / self.max_num_iters))
        if self.last_epoch <= self.warmup:
            lr_factor *= self.last_epoch * 1.0 / self.warmup
        return [base_lr * lr_factor for base_lr in self.base_lrs]


class WarmedUp(L.LightningModule):
    """Steps its scheduler in `optimizer_step`; all loaders are its own."""

    def __init__(self, optimizer_name="SGD", optimizer_hparams=None, max_iters=24):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
        self.example_input_array = torch.zeros(1, 6)

    def forward(self, x):
        return self.net(x)

    def configure_optimizers(self):
        optimizer = getattr(optim, self.hparams.optimizer_name)(self.parameters(), **self.hparams.optimizer_hparams)
        self.lr_scheduler = CosineWarmupScheduler(optimizer, warmup=5, max_iters=self.hparams.max_iters)
        return optimizer

    def optimizer_step(self, *args, **kwargs):
        super().optimizer_step(*args, **kwargs)
        self.lr_scheduler.step()

    def training_step(self, batch, batch_idx):
        return self.shared_step(batch, "train")

    def validation_step(self, batch, batch_idx):
        self.shared_step(batch, "val")

    def test_step(self, batch, batch_idx):
        self.shared_step(batch, "test")

    def shared_step(self, batch, mode):
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        self.log_dict({f"{mode}_loss": loss, f"{mode}_acc": (logits.argmax(-1) == y).float().mean()})
        return loss

    def train_dataloader(self):
        return DataLoader(blobs(), batch_size=8, shuffle=True, drop_last=True)

    def val_dataloader(self):
        return DataLoader(blobs(32, 2), batch_size=16)

    def test_dataloader(self):
        return DataLoader(blobs(32, 3), batch_size=16)


def warm_up():
    L.seed_everything(42)
    checkpoint = ModelCheckpoint(save_weights_only=True, mode="max", monitor="val_acc")
    run = trainer(
        default_root_dir=os.path.join("saved_models", "WarmedUp"),
        callbacks=[checkpoint, LearningRateMonitor("epoch")],
    )
    model = WarmedUp(optimizer_name="SGD", optimizer_hparams={"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4})
    run.fit(model)
    tested = run.test(verbose=False)  # with the best weights of the model that was fitted
    validated = run.validate(model, verbose=False)
    best = WarmedUp.load_from_checkpoint(run.checkpoint_callback.best_model_path)
    return SimpleNamespace(
        model=model,
        trainer=run,
        weights=model.state_dict(),
        best=best.state_dict(),
        tested=tested,
        validated=validated,
        rates=[model.lr_scheduler.get_last_lr()[0]],
        steps=run.global_step,
        hparams=dict(best.hparams),
    )


class OnlineFineTuner(Callback):
    """A classifier beside the model, which the callback makes, trains and measures."""

    def on_fit_start(self, trainer, pl_module):
        pl_module.online_finetuner = nn.Linear(12, 3).to(pl_module.device)
        self.optimizer = torch.optim.Adam(pl_module.online_finetuner.parameters(), lr=1e-2)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        x, y = batch
        with torch.no_grad():
            features = pl_module.net[:2](x)
        logits = pl_module.online_finetuner(features.detach())
        loss = F.cross_entropy(logits, y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        pl_module.log("online_train_loss", loss, on_step=True, on_epoch=False)
        pl_module.log("mirror", outputs["loss"], on_step=True, on_epoch=True)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        x, y = batch
        logits = pl_module.online_finetuner(pl_module.net[:2](x))
        acc = (logits.argmax(-1) == y).float().mean()
        pl_module.log("online_val_acc", acc, on_step=False, on_epoch=True, sync_dist=True)


def online_classifier():
    L.seed_everything(8)
    model = WarmedUp(optimizer_hparams={"lr": 0.05})
    run = trainer(callbacks=[OnlineFineTuner()])
    run.fit(model)
    return SimpleNamespace(model=model, weights=model.state_dict(), metrics=dict(run.callback_metrics))


class Meta(L.LightningModule):
    """Steps by itself under automatic optimisation and returns None, so that no other step is made."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def outer_loop(self, batch, mode="train"):
        x, y = batch
        losses = []
        opt = self.optimizers()
        opt.zero_grad()
        for part_x, part_y in zip(x.chunk(2), y.chunk(2), strict=True):
            inner = self.inner_gradients(part_x, part_y)
            fast = [p - 0.1 * g for p, g in zip(self.parameters(), inner, strict=True)]
            loss = F.cross_entropy(F.linear(part_x, *fast), part_y)
            grads = torch.autograd.grad(loss, list(self.parameters()))
            for parameter, gradient in zip(self.parameters(), grads, strict=True):
                parameter.grad = gradient.detach() if parameter.grad is None else parameter.grad + gradient.detach()
            losses.append(loss.detach())
        opt.step()
        opt.zero_grad()
        self.log(f"{mode}_loss", sum(losses) / len(losses))

    def inner_gradients(self, x, y):
        loss = F.cross_entropy(self.layer(x), y)
        return torch.autograd.grad(loss, list(self.parameters()))

    def training_step(self, batch, batch_idx):
        self.outer_loop(batch, mode="train")
        return None

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.2)


def meta_learning():
    L.seed_everything(3)
    model = Meta()
    run = trainer(max_epochs=2)
    run.fit(model, DataLoader(blobs(), batch_size=16))
    return SimpleNamespace(model=model, weights=model.state_dict(), metrics=dict(run.callback_metrics))


Experience = namedtuple("Experience", ["state", "action", "reward", "done", "new_state"])


class Corridor:
    """Walk to the right end of five places."""

    def reset(self):
        self.place = 0
        return self.state()

    def state(self):
        return np.eye(5, dtype=np.float32)[self.place]

    def step(self, action):
        self.place = max(0, min(4, self.place + (1 if action == 1 else -1)))
        done = self.place == 4
        return self.state(), 1.0 if done else -0.1, done


class Replay(IterableDataset):
    def __init__(self, buffer, sample_size):
        self.buffer, self.sample_size = buffer, sample_size

    def __iter__(self):
        indices = np.random.choice(len(self.buffer), self.sample_size, replace=False)
        for index in indices:
            yield tuple(np.float32(value) if isinstance(value, float) else value for value in self.buffer[index])


class DQN(L.LightningModule):
    def __init__(self, batch_size=8, lr=1e-2, gamma=0.9, sync_rate=5, episode_length=40, warm_start=60):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))
        self.target_net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))
        self.buffer = deque(maxlen=200)
        self.env = Corridor()
        self.state = self.env.reset()
        self.total_reward = self.episode_reward = 0.0
        for _ in range(warm_start):
            self.play_step(epsilon=1.0)

    @torch.no_grad()
    def play_step(self, epsilon):
        if np.random.random() < epsilon:
            action = int(np.random.randint(2))
        else:
            action = int(self.net(torch.tensor(self.state).unsqueeze(0)).argmax())
        new_state, reward, done = self.env.step(action)
        self.buffer.append(Experience(self.state, action, reward, done, new_state))
        self.state = self.env.reset() if done else new_state
        return reward, done

    def training_step(self, batch, nb_batch):
        epsilon = max(0.05, 1.0 - self.global_step / 60)
        self.log("epsilon", epsilon)
        reward, done = self.play_step(epsilon)
        self.episode_reward += reward
        states, actions, rewards, dones, next_states = batch
        values = self.net(states).gather(1, actions.long().unsqueeze(-1)).squeeze(-1)
        with torch.no_grad():
            next_values = self.target_net(next_states).max(1)[0]
            next_values[dones] = 0.0
        loss = F.mse_loss(values, next_values * self.hparams.gamma + rewards)
        if done:
            self.total_reward, self.episode_reward = self.episode_reward, 0.0
        if self.global_step % self.hparams.sync_rate == 0:
            self.target_net.load_state_dict(self.net.state_dict())
        self.log_dict({"reward": reward, "train_loss": loss})
        self.log("total_reward", self.total_reward, prog_bar=True)
        self.log("steps", self.global_step, logger=False, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return optim.Adam(self.net.parameters(), lr=self.hparams.lr)

    def train_dataloader(self):
        return DataLoader(Replay(self.buffer, self.hparams.episode_length), batch_size=self.hparams.batch_size)


def reinforcement():
    L.seed_everything(5)
    model = DQN()
    run = trainer(max_epochs=30, val_check_interval=50, logger=CSVLogger(save_dir="logs/", name="dqn"))
    run.fit(model)
    with torch.no_grad():
        actions = model.net(torch.eye(5)).argmax(1).tolist()
    return SimpleNamespace(
        model=model,
        weights=model.state_dict(),
        metrics=dict(run.callback_metrics),
        steps=run.global_step,
        calls=actions,
        bar=sorted(run.progress_bar_metrics),
    )


class Glue(L.LightningModule):
    """Keeps what validation steps return by loader, and evaluates it when the epoch ends."""

    def __init__(self, splits=("matched", "mismatched")):
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(6, 3)
        self.outputs = {at: [] for at in range(len(splits))}

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        logits = self.layer(batch[0])
        output = {"loss": F.cross_entropy(logits, batch[1]), "preds": logits.argmax(1), "labels": batch[1]}
        self.outputs[dataloader_idx].append(output)
        return output

    def on_validation_epoch_end(self):
        for at, outputs in self.outputs.items():
            split = self.hparams.splits[at]
            preds = torch.cat([one["preds"] for one in outputs]).numpy()
            labels = torch.cat([one["labels"] for one in outputs]).numpy()
            self.log_dict({f"acc_{split}": float((preds == labels).mean())}, prog_bar=True)
            self.log(f"val_loss_{split}", torch.stack([one["loss"] for one in outputs]).mean(), prog_bar=True)
            outputs.clear()

    def configure_optimizers(self):
        steps = self.trainer.estimated_stepping_batches
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step", "frequency": 1}]


def two_splits():
    L.seed_everything(6)
    model = Glue()
    run = trainer(num_sanity_val_steps=-1)
    val = [DataLoader(blobs(24, 2), batch_size=8), DataLoader(blobs(16, 3), batch_size=8)]
    run.fit(model, DataLoader(blobs(), batch_size=16), val)
    return SimpleNamespace(
        model=model,
        weights=model.state_dict(),
        metrics=dict(run.callback_metrics),
        rates=[run.lr_scheduler_configs[0].scheduler.get_last_lr()[0]],
    )


if __name__ == "__main__":
    warm_up()
