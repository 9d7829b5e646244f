"""A program of several runs on some processes, which writes what each rank saw: `deepspeed_program.py FOLDER PARTS`."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_strategy_deepspeed import DeepSpeedStrategy

QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
STAGES = (1, 2, 3)
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
CLIP, WINDOW, EPOCHS = 0.3, 2, 2
USED, WITHOUT_LOSS = (True, False, False, True, False, False, True, True), 7
"""In which of the batches of two epochs some layers have a part, and which has no loss."""


class Regression(LightningModule):
    """Samples are (number, features, target). Odd sizes, a tied weight, a frozen one and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 5)
        self.middle = nn.Linear(5, 5, bias=False)
        self.again = nn.Linear(5, 5)
        self.again.weight = self.middle.weight
        self.head = nn.Linear(5, 1)
        self.frozen = nn.Parameter(torch.full((3,), 0.5), requires_grad=False)
        level = 0.25 if os.environ.get("RANK", "0") == "0" else 0.75
        self.register_buffer("offset", torch.full((5,), level))
        self.seen: list[list[int]] = []
        self.save_to: Path | None = None

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.tanh(self.body(features * self.frozen)) + self.offset
        result: Tensor = self.head(torch.tanh(self.again(torch.tanh(self.middle(hidden))))).squeeze(1)
        return result

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen.append(batch[0].tolist())
        return (self(batch[1]) - batch[2]).pow(2).mean()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.save_to is not None and self.trainer.global_step == 3 and batch_idx % WINDOW:
            self.trainer.save_checkpoint(self.save_to)
            self.save_to = None

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch[0].tolist())
        self.log("mean", batch[0].double().mean(), sync_dist=True)
        self.log("error", (self(batch[1]) - batch[2]).double().abs().mean(), sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> list[int]:
        numbers: list[int] = batch[0].tolist()
        return numbers

    def configure_optimizers(self) -> Any:
        decayed = [self.body.weight, self.middle.weight, self.head.weight]
        rest = [self.body.bias, self.again.bias, self.head.bias]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0, "lr": 0.02}]
        optimizer = torch.optim.AdamW(groups, lr=0.05)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class ByConfig(Regression):
    """Leaves optimizer and scheduler to the config."""

    def configure_optimizers(self) -> None:
        return None


class ByHand(Regression):
    """The same, optimised by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        self.manual_backward((self(batch[1]) - batch[2]).pow(2).mean())
        optimizer.step()


class Saving(Regression):
    """Saves when two of three batches of a window have run."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.save_to is not None and self.current_epoch == 1 and batch_idx == 1:
            self.trainer.save_checkpoint(self.save_to)


class Sparse(Regression):
    """Has layers that are not part of each loss, and losses that are left out."""

    number = 0

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.tanh(self.body(features * self.frozen)) + self.offset
        if USED[self.number]:
            hidden = torch.tanh(self.again(torch.tanh(self.middle(hidden))))
        result: Tensor = self.head(hidden).squeeze(1)
        return result

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        self.number = 4 * self.current_epoch + batch_idx
        return None if self.number == WITHOUT_LOSS else super().training_step(batch, batch_idx)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class AfterTwo(ByHand):
    """Adds up the gradients of two batches, and of two losses of each, by hand."""

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        for loss in ((self(batch[1]) - batch[2]).pow(2), (self(batch[1]) - batch[2]).abs()):
            self.manual_backward(loss.mean() / 2)
        if batch_idx % 2:
            optimizer.step()
            optimizer.zero_grad()


class Pieces(Regression):
    """Makes a large part where the strategy says."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[list[int]] = []

    def configure_model(self) -> None:
        if self.shapes:
            return
        torch.manual_seed(7)
        self.body = nn.Linear(3, 5)
        self.shapes.append(list(self.body.weight.shape))


class Stream:
    """Batches of three for this rank, without saying how many there are."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[list[Tensor]]:
        first = 3 * int(os.environ["RANK"])
        values = samples(24).tensors
        for number in range(self.count):
            yield [value[6 * number + first : 6 * number + first + 3] for value in values]


def samples(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(count, 3, generator=generator)
    return TensorDataset(torch.arange(count), features, features.sum(1))


def made(kind: type[Regression] = Regression, seed: int | None = None) -> Regression:
    """Return the model with known weights on rank zero, and others elsewhere."""
    torch.manual_seed(int(os.environ.get("RANK", "0")) if seed is None else seed)
    return kind()


def trainer(stage: int = 2, *, settings: dict[str, Any] | None = None, **arguments: Any) -> Trainer:
    strategy = DeepSpeedStrategy(stage=stage, **(settings or {}))  # type: ignore[arg-type]
    return Trainer(**{"accelerator": "cpu", "devices": 2, "strategy": strategy, "logger": False, **QUIET, **arguments})


def weights(module: nn.Module) -> dict[str, list[float]]:
    return {name: value.flatten().float().tolist() for name, value in module.state_dict().items()}


def loader(count: int = 24, size: int = 3) -> DataLoader[Any]:
    return DataLoader(samples(count), batch_size=size)


def fitting(stage: int, folder: Path, **arguments: Any) -> Regression:
    module = made()
    module.save_to = folder / f"stage{stage}-{arguments.get('precision', '32-true')}.ckpt"
    how = {"max_epochs": EPOCHS, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP, **arguments}
    trainer(stage, **how).fit(module, loader())
    return module


def resuming(stage: int, file: Path, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    module = made(seed=99)
    how = {"max_epochs": EPOCHS, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP, "settings": settings}
    run = trainer(stage, **how)
    run.fit(module, loader(), ckpt_path=file)
    return {"weights": weights(module), "steps": run.global_step}


def evaluation(stage: int, size: int) -> dict[str, Any]:
    module = made(seed=0)
    results = trainer(stage).validate(module, loader(size, 2), verbose=False)
    predicted = trainer(stage).predict(module, loader(size, 2))
    return {"seen": module.seen, "results": results, "predicted": predicted}


def uneven_validation(stage: int) -> dict[str, Any]:
    """Validate within a fit on three batches: two on one rank, one on the other."""
    module = made()
    run = trainer(stage, max_epochs=2, accumulate_grad_batches=WINDOW, gradient_clip_val=CLIP)
    run.fit(module, loader(), loader(5, 2))
    kept = {name: float(value) for name, value in run.callback_metrics.items()}
    results = run.validate(module, loader(5, 2), verbose=False)
    return {"weights": weights(module), "metrics": kept, "after": results}


def by_config(stage: int) -> dict[str, Any]:
    config = {
        "optimizer": {"type": "SGD", "params": {"lr": 0.1, "momentum": 0.9}},
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_max_lr": 0.1, "warmup_num_steps": 4, "warmup_type": "linear"},
        },
        "gradient_clipping": CLIP,
    }
    module = made(ByConfig)
    run = trainer(stage, settings={"config": config}, max_epochs=1)
    run.fit(module, loader())
    return {"weights": weights(module), "rate": run.optimizers[0].param_groups[0]["lr"]}


def by_hand(stage: int) -> dict[str, list[float]]:
    module = made(ByHand)
    trainer(stage, max_epochs=1).fit(module, loader())
    return weights(module)


def in_pieces(precision: str) -> dict[str, Any]:
    module = made(Pieces)
    trainer(3, max_epochs=1, precision=precision).fit(module, loader())
    return {"shapes": module.shapes, "weights": weights(module)}


def evaluation_in_pieces(gather: bool) -> dict[str, Any]:
    """Evaluate a module that was divided while it was made; without gathering, all ranks have as many batches."""
    module = made(Pieces, seed=0)
    run = trainer(3, settings={"gather_for_evaluation": gather})
    results = run.validate(module, loader(3 if gather else 4, 2), verbose=False)
    return {"results": results, "shapes": module.shapes, "weights": weights(module)}


def on_host(stage: int) -> dict[str, Any]:
    return {"offload_optimizer": True, **({"offload_parameters": True} if stage == 3 else {})}


def offloaded(stage: int) -> dict[str, list[float]]:
    module = made()
    how = {"max_epochs": EPOCHS, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP}
    trainer(stage, settings=on_host(stage), **how).fit(module, loader())
    return weights(module)


def cut(stage: int, file: Path, settings: dict[str, Any] | None = None, devices: int = 2, **how: Any) -> dict[str, Any]:
    """Train without a break, and once more from a file that is written while a window is open."""
    how |= {"max_epochs": EPOCHS, "accumulate_grad_batches": 3, "gradient_clip_val": CLIP}
    how |= {"devices": devices, "settings": settings}
    found = {}
    for word, seed, path, resumed in (
        ("whole", None, None, None),
        ("saving", None, file, None),
        ("on", 99, None, file),
    ):
        module = made(Saving, seed)
        module.save_to = path
        trainer(stage, **how).fit(module, loader(size=6 // devices), ckpt_path=resumed)
        found[word] = weights(module)
    return found


def elsewhere(stage: int, file: Path) -> dict[str, list[float]]:
    """Go on from a window that another stage left open."""
    module = made(Saving, seed=99)
    how = {"max_epochs": EPOCHS, "accumulate_grad_batches": 3, "gradient_clip_val": CLIP}
    trainer(stage, **how).fit(module, loader(), ckpt_path=file)
    return weights(module)


def unforeseen_end(stage: int, settings: dict[str, Any] | None) -> dict[str, list[float]]:
    """Read three batches, of which nobody knows that they are no four."""
    module = made()
    how = {"max_epochs": 2, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP, "settings": settings}
    trainer(stage, **how).fit(module, Stream(3))
    return weights(module)


def sparse(stage: int, settings: dict[str, Any] | None) -> dict[str, list[float]]:
    module = made(Sparse)
    how = {"max_epochs": 2, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP, "settings": settings}
    trainer(stage, **how).fit(module, loader())
    return weights(module)


def after_two(stage: int, settings: dict[str, Any] | None) -> dict[str, list[float]]:
    module = made(AfterTwo)
    trainer(stage, max_epochs=1, settings=settings).fit(module, loader())
    return weights(module)


def windows(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in STAGES:
        for word, settings in (("", None), (" on host", on_host(stage))):
            found[f"cut {stage}{word}"] = cut(stage, folder / f"cut{stage}{word}.ckpt", settings)
            found[f"stream {stage}{word}"] = unforeseen_end(stage, settings)
            found[f"sparse {stage}{word}"] = sparse(stage, settings)
            found[f"two {stage}{word}"] = after_two(stage, settings)
        for precision in ("bf16-mixed", "bf16-true"):
            found[f"cut {stage} {precision}"] = cut(stage, folder / f"cut{stage}-{precision}.ckpt", precision=precision)
        gc.freeze()
    kept = {
        "state_dict_type": "sharded",
        "config": {"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}},
    }
    for stage in (1, 2):
        settings = kept | (on_host(1) if stage == 1 else {})
        found[f"cut {stage} apart"] = cut(stage, folder / f"cut{stage}apart", settings, precision="bf16-mixed")
    found["cut 3 apart"] = cut(3, folder / "cut3apart", {"state_dict_type": "sharded"})
    in_turn = {"config": {"zero_optimization": {"round_robin_gradients": True}}}
    for stage in (1, 2):
        found[f"cut {stage} in turn"] = cut(stage, folder / f"cut{stage}turn.ckpt", in_turn)
    for stage in STAGES:
        found[f"elsewhere {stage}"] = elsewhere(stage, folder / f"cut{stage % 3 + 1}.ckpt")
    return found


def three(folder: Path) -> dict[str, Any]:
    """Three ranks, among which parameters are shared out less evenly."""
    found = {}
    for stage in STAGES:
        for word, settings in (("", None), (" on host", on_host(stage))):
            found[f"cut {stage}{word}"] = cut(stage, folder / f"cut{stage}{word}.ckpt", settings, devices=3)
    return found


def masters(stage: int, file: Path | None = None) -> dict[str, list[float]]:
    """bf16 weights that are kept in float32 once more: DeepSpeed's own form of mixed precision."""
    module = made(seed=None if file is None else 99)
    if stage == 2 and file is None:
        module.save_to = Path(sys.argv[1]) / "masters.ckpt"
    settings = {"config": {"bf16": {"enabled": True}}}
    how = {"max_epochs": EPOCHS, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP}
    trainer(stage, settings=settings, precision="bf16-mixed", **how).fit(module, loader(), ckpt_path=file)
    return weights(module)


def after_a_run(folder: Path) -> dict[str, Any]:
    module = made()
    run = trainer(3, max_epochs=1)
    run.fit(module, loader())
    run.save_checkpoint(folder / "after.ckpt")
    left = [name for name, one in module.named_parameters() if hasattr(one, "ds_id") or one.grad is not None]
    return {"weights": weights(module), "left": left, "hooks": sum(len(one._forward_hooks) for one in module.modules())}


def sharded(folder: Path) -> dict[str, Any]:
    """Save in directories, and go on from each under another stage."""
    for stage in (1, 3):
        module = made()
        module.save_to = folder / f"sharded{stage}"
        how = {"max_epochs": EPOCHS, "accumulate_grad_batches": WINDOW, "gradient_clip_val": CLIP}
        trainer(stage, settings={"state_dict_type": "sharded"}, **how).fit(module, loader())
    return {"3": resuming(3, folder / "sharded1"), "2": resuming(2, folder / "sharded3")}


def training(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in STAGES:
        for precision in PRECISIONS:
            module = fitting(stage, folder, precision=precision)
            found[f"{stage} {precision}"] = {"weights": weights(module), "seen": module.seen}
            gc.freeze()  # stage 3 collects garbage at each start, which takes long with so much imported
        found[f"hand {stage}"] = by_hand(stage)
        found[f"offloaded {stage}"] = offloaded(stage)
    for stage in (2, 3):
        found[f"masters {stage}"] = masters(stage)
        found[f"config {stage}"] = by_config(stage)
    return found


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in STAGES:
        found[f"crossed {stage}"] = resuming(stage, folder / f"stage{stage % 3 + 1}-32-true.ckpt")
    found["resumed"] = resuming(3, folder / "stage3-32-true.ckpt")
    found["masters resumed"] = masters(2, folder / "masters.ckpt")
    found["sharded"] = sharded(folder)
    found["after"] = after_a_run(folder)
    return found


def rest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"evaluation": {size: evaluation(3, size) for size in (1, 5)}}
    for stage in (2, 3):
        found[f"uneven {stage}"] = uneven_validation(stage)
    found["evaluation in pieces"] = [evaluation_in_pieces(gather) for gather in (True, False)]
    found["pieces"] = {precision: in_pieces(precision) for precision in ("32-true", "bf16-true")}
    return found


def main(folder: Path) -> None:
    parts = {"training": training, "state": state, "rest": rest, "windows": windows, "three": three}
    chosen = sys.argv[2].split(",")
    found: dict[str, Any] = {}
    for name in chosen:
        found |= parts[name](folder)
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
