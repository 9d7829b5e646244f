"""Runs with settings and modules drawn at random, and everything that can be observed of one, under either library.

What the two mean differently on purpose is not drawn: accumulation windows are whole, and where the rest of an epoch is
left out no scheduler counts steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import LBFGS, SGD
from torch.optim.lr_scheduler import CyclicLR, ExponentialLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

Note = Callable[[tuple[Any, ...]], None]
"""Takes what happened."""
HOOKS = (
    *("on_sanity_check_start", "on_sanity_check_end", "on_train_start", "on_train_epoch_start", "on_train_batch_start"),
    *("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step"),
    *("on_train_batch_end", "on_validation_start", "on_validation_epoch_start", "on_validation_batch_start"),
    *("on_validation_batch_end", "on_validation_epoch_end", "on_validation_end", "on_train_epoch_end", "on_train_end"),
    "on_fit_end",
)
REDUCTIONS = ("mean", "sum", "min", "max")
OPTIMIZERS = ("sgd", "sgd", "sgd", "sgd", "lbfgs", "manual")
SCHEDULERS = (None, "epoch", "second_epoch", "step", "cycle", "plateau")
STEPS = (None, None, "super", "closure", "closure_first")


@dataclass
class Config:
    """One run."""

    run: dict[str, Any]
    """Arguments of the Trainer."""
    batches: int
    shuffled: bool
    validation: tuple[int, ...]
    """Batches of each validation loader."""
    optimizer: str
    scheduler: str | None
    optimizer_step: str | None
    """How it is overridden, if it is."""
    logged: list[dict[str, Any]] = field(default_factory=list)
    """Arguments of `self.log` in training."""
    validated: list[dict[str, Any]] = field(default_factory=list)
    """Arguments of `self.log` in validation."""
    returns_none: tuple[int, ...] = ()
    """Batches whose loss is left out."""
    skips_at: int | None = None
    """The batch at which the rest of an epoch is left out."""
    stops_at: int | None = None
    """The step after which training is asked to stop."""


def draw(seed: int) -> Config:
    """Return the run that belongs to a seed."""
    random = Random(seed)
    optimizer, accumulate = random.choice(OPTIMIZERS), random.choice([1, 1, 2, 3])
    if optimizer == "manual":
        accumulate = 1
    batches = accumulate * random.randint(1, 4)
    scheduler = random.choice(SCHEDULERS)
    return Config(
        run=_run(random, accumulate, batches, clipped=optimizer != "manual"),
        batches=batches,
        shuffled=random.random() < 0.3,
        validation=random.choice([(2,), (3,), (2, 3)]),
        optimizer=optimizer,
        scheduler=scheduler,
        optimizer_step=random.choice(STEPS) if optimizer == "sgd" else None,
        logged=[_kind(random, on_step=[None, True]) for _ in range(2)],
        validated=[_kind(random, on_step=[None, True, False]) for _ in range(2)],
        returns_none=tuple(random.sample(range(8), random.choice([0, 0, 1, 2]))) if optimizer == "sgd" else (),
        skips_at=random.choice([None, None, 1]) if accumulate == 1 and scheduler not in ("step", "cycle") else None,
        stops_at=random.choice([None, None, None, 1, 2, 5]),
    )


def _run(random: Random, accumulate: int, batches: int, *, clipped: bool) -> dict[str, Any]:
    run: dict[str, Any] = {
        "max_epochs": random.randint(1, 4),
        "accumulate_grad_batches": accumulate,
        "log_every_n_steps": random.randint(1, 3),
        "num_sanity_val_steps": random.choice([0, 1, 2, -1]),
        "limit_val_batches": random.choice([1.0, 1.0, 1, 0.5]),
        "gradient_clip_val": random.choice([None, 0.3]) if clipped else None,
    }
    if random.random() < 0.3:
        run["max_steps"] = random.randint(1, 9)
    if random.random() < 0.2:
        run["min_steps"] = 1
    interval = random.choice(["end", "end", "batches", "share", "across", "epochs"])
    if interval == "batches":
        run["val_check_interval"] = random.randint(1, batches)
    elif interval == "share":
        run["val_check_interval"] = random.choice([0.34, 0.5])
    elif interval == "across":
        run |= {"val_check_interval": random.randint(1, 5), "check_val_every_n_epoch": None}
    elif interval == "epochs":
        run["check_val_every_n_epoch"] = 2
    return run


def _kind(random: Random, *, on_step: list[bool | None]) -> dict[str, Any]:
    return {
        "on_step": random.choice(on_step),
        "on_epoch": random.choice([None, True]),
        "reduce_fx": random.choice(REDUCTIONS),
        "prog_bar": random.random() < 0.3,
        "logger": random.random() < 0.8,
    }


def observe(config: Config, library: SimpleNamespace, folder: str) -> list[tuple[Any, ...]]:
    """Run it, and return what happened: hooks, rows of the logger, rates, metrics, and the weights at the end."""
    seen: list[tuple[Any, ...]] = []
    own = {"optimizer_step": _optimizer_step(config.optimizer_step, library)} if config.optimizer_step else {}
    module = type("Drawn", (Drawn, library.LightningModule), own)(config, seen.append)
    trainer = library.Trainer(
        **config.run,
        accelerator="cpu",
        logger=_logger(library, seen.append),
        callbacks=[_callback(library, seen.append)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    torch.manual_seed(3)
    validation = [_loader(batches, seed=5 + at) for at, batches in enumerate(config.validation)]
    trainer.fit(module, _loader(config.batches, shuffle=config.shuffled), validation)
    seen.append(("end", trainer.global_step, trainer.current_epoch, _numbers(trainer.callback_metrics)))
    seen.append(("logged", _numbers(trainer.logged_metrics)))
    seen += [(name, value.tolist()) for name, value in module.state_dict().items()]
    return seen


def _loader(batches: int, *, seed: int = 0, shuffle: bool = False) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(batches * 2, 4, generator=generator), torch.randn(batches * 2, 1, generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=2, shuffle=shuffle)


def _numbers(metrics: Any) -> dict[str, float]:
    return {name: float(value) for name, value in sorted(metrics.items())}


def _callback(library: SimpleNamespace, note: Note) -> Any:
    def noting(hook: str) -> Callable[..., None]:
        def call(self: Any, trainer: Any, module: Any, *args: Any) -> None:
            indices = [one for one in args if isinstance(one, int)]
            note((hook, trainer.global_step, trainer.current_epoch, *indices))

        return call

    return type("Noting", (library.Callback,), {hook: noting(hook) for hook in HOOKS})()


def _logger(library: SimpleNamespace, note: Note) -> Any:
    class Rows(library.Logger):
        name = "rows"
        version = 0

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            note(("row", max(step or 0, 0), _numbers(metrics)))  # Lightning may count from -1

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

    return Rows()


class Drawn:
    """The methods of the module; a library's `LightningModule` is added."""

    def __init__(self, config: Config, note: Note) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.config, self.note = config, note
        self.layer = nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 1))
        self.automatic_optimization = config.optimizer != "manual"

    def loss(self, batch: Any) -> torch.Tensor:
        return mse_loss(self.layer(batch[0]), batch[1])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == self.config.skips_at else None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        for number, kind in enumerate(self.config.logged):
            self.log(f"t{number}", loss + batch_idx, **kind)
        if self.global_step == self.config.stops_at:
            self.trainer.should_stop = True
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return None if batch_idx in self.config.returns_none else {"loss": loss, "index": batch_idx}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        rate, loss = self.trainer.optimizers[0].param_groups[0]["lr"], float(outputs["loss"]) if outputs else None
        self.note(("rate", rate, loss, _numbers(self.trainer.progress_bar_metrics)))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        loss = self.loss(batch)
        for number, kind in enumerate(self.config.validated):
            self.log(f"v{number}", loss + batch_idx, **kind)

    def on_validation_epoch_end(self) -> None:
        self.log("at_validation", float(self.global_step))
        if not self.trainer.sanity_checking:  # in which Lightning shows some of several loaders' metrics
            self.note(("validated", _numbers(self.trainer.callback_metrics)))

    def on_train_epoch_end(self) -> None:
        self.log("at_epoch", float(self.current_epoch))
        self.note(("trained", _numbers(self.trainer.callback_metrics)))

    def configure_optimizers(self) -> Any:
        if self.config.optimizer == "lbfgs":
            optimizer: Any = LBFGS(self.parameters(), lr=0.1, max_iter=2)
        else:
            optimizer = SGD(self.parameters(), lr=0.1)
        return {"optimizer": optimizer, **_scheduler(self.config.scheduler, optimizer)}


def _scheduler(word: str | None, optimizer: Any) -> dict[str, Any]:
    if word is None:
        return {}
    if word == "plateau":
        scheduler = ReduceLROnPlateau(optimizer, patience=0, threshold=1.0)
        return {"lr_scheduler": {"scheduler": scheduler, "monitor": "at_epoch"}}
    if word == "cycle":
        scheduler = CyclicLR(optimizer, 0.01, 0.1, step_size_up=3, cycle_momentum=False)
        return {"lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
    if word == "step":
        return {"lr_scheduler": {"scheduler": ExponentialLR(optimizer, 0.9), "interval": "step"}}
    return {"lr_scheduler": {"scheduler": StepLR(optimizer, 1, 0.5), "frequency": 2 if word == "second_epoch" else 1}}


def _optimizer_step(word: str, library: SimpleNamespace) -> Callable[..., None]:
    def step(self: Any, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        if word == "super":
            library.LightningModule.optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure)
        elif word == "closure":
            optimizer.step(closure=optimizer_closure)
        else:
            optimizer_closure()
            optimizer.step()

    return step
