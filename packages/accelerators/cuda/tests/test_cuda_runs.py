"""Runs on a GPU. Where there is none, all of it is skipped with the probe's reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset

from fulmen_accelerator_cuda import CUDA_SPEC, CUDAAccelerator
from fulmen_core import LightningModule, Trainer
from fulmen_interfaces import Callback

PROBE = CUDA_SPEC.probe()
pytestmark = pytest.mark.skipif(not PROBE.available, reason=PROBE.reason or "a GPU")

QUIET: dict[str, Any] = {
    "accelerator": "cuda",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Classifier(LightningModule):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 2))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self.layers(x), y)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val", nn.functional.cross_entropy(self.layers(x), y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class OneByOne(Classifier):
    """Takes part in the transfer, so that no batch is copied ahead."""

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return [part.to(device) for part in batch]


def loader(count: int = 20, batch_size: int = 16, **options: Any) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count * batch_size, 8, generator=generator)
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size, pin_memory=True, **options)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.cpu() for name, value in module.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(one) == list(other)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_with_copies_ahead_equals_one_without_and_a_plain_loop() -> None:
    ahead, one_by_one, plain = Classifier(), OneByOne(), Classifier()
    metrics = []
    for module in (ahead, one_by_one):
        trainer = Trainer(max_epochs=2, **QUIET)
        trainer.fit(module, loader(), loader(5))
        metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert metrics[0] == metrics[1]
    assert {"loss_epoch", "val"} <= set(metrics[0])

    plain.cuda()
    optimizer = plain.configure_optimizers()
    for _ in range(2):
        for x, y in loader():
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain.layers(x.cuda()), y.cuda()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert_equal(weights(ahead), weights(one_by_one))
    assert_equal(weights(ahead), weights(plain))


class Noting(dict):  # type: ignore[type-arg]
    """A batch that notes on which stream a part of the host's is replaced by its copy."""

    streams: ClassVar[list[int]] = []

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self and value.is_cuda and not self[name].is_cuda:
            self.streams.append(torch.cuda.current_stream().cuda_stream)
        super().__setitem__(name, value)


def noting(items: list[tuple[torch.Tensor, torch.Tensor]]) -> Noting:
    return Noting(x=torch.stack([x for x, _ in items]).pin_memory(), y=torch.stack([y for _, y in items]).pin_memory())


def test_batches_are_copied_on_another_stream_than_the_one_that_computes() -> None:
    computing: set[int] = set()

    class Watching(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            computing.add(torch.cuda.current_stream().cuda_stream)
            return super().training_step((batch["x"], batch["y"]), batch_idx)

    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), 8, collate_fn=noting)
    Noting.streams.clear()
    Trainer(max_epochs=1, **QUIET).fit(Watching(), data)
    assert len(Noting.streams) == 8 * 2
    assert len(set(Noting.streams)) == len(computing) == 1
    assert set(Noting.streams) != computing


WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "aten::_local_scalar_dense")


class Middle(Callback):
    """Watches the batches in the middle of an epoch: waiting for the GPU is an error there."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.counts: dict[str, int] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.first:
            torch.cuda.synchronize()
            self.profile = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
            self.profile.start()
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.last:
            torch.cuda.set_sync_debug_mode("default")
            # Ending the profile waits for the GPU itself, after the last event that is kept here.
            self.profile.stop()
            self.counts = {event.key: event.count for event in self.profile.key_averages()}


def test_nothing_waits_for_the_gpu_between_flushes() -> None:
    middle = Middle(3, 15)
    try:
        Trainer(max_epochs=1, log_every_n_steps=50, callbacks=[middle], **QUIET).fit(Classifier(), loader())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert middle.counts["aten::addmm"] >= 2 * 12, "the profile saw the steps"
    assert {name: middle.counts.get(name, 0) for name in WAITS} == dict.fromkeys(WAITS, 0)
    # The profiler itself waits for the device where it begins and ends; a wait in each batch would be 12.
    assert middle.counts.get("cudaDeviceSynchronize", 0) <= 2


def test_a_run_that_was_resumed_draws_the_same_dropout(tmp_path: Path) -> None:
    whole, cut, resumed = Classifier(0.5), Classifier(0.5), Classifier(0.5)
    torch.manual_seed(7)
    Trainer(max_epochs=2, **QUIET).fit(whole, loader(5))

    torch.manual_seed(7)
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(cut, loader(5))
    trainer.save_checkpoint(tmp_path / "cut.ckpt")
    torch.manual_seed(99)
    Trainer(max_epochs=2, **QUIET).fit(resumed, loader(5), ckpt_path=tmp_path / "cut.ckpt")
    assert_equal(weights(whole), weights(resumed))


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "bf16-true", "64-true"])
def test_every_precision_learns(precision: str) -> None:
    module = Classifier()
    trainer = Trainer(max_epochs=3, precision=precision, **QUIET)  # type: ignore[arg-type]
    trainer.fit(module, loader(), loader(5))
    assert float(trainer.callback_metrics["val"]) < 0.45


def test_benchmark_is_on_during_the_run_and_put_back() -> None:
    class Noting(Classifier):
        def on_train_start(self) -> None:
            self.seen = torch.backends.cudnn.benchmark

    module, before = Noting(), torch.backends.cudnn.benchmark
    Trainer(max_epochs=1, benchmark=not before, **QUIET).fit(module, loader(2))
    assert module.seen is not before
    assert torch.backends.cudnn.benchmark is before


def test_the_precision_of_products_is_set_for_the_run_and_put_back() -> None:
    class Noting(Classifier):
        def on_train_start(self) -> None:
            self.seen = torch.get_float32_matmul_precision()

    module, before = Noting(), torch.get_float32_matmul_precision()
    options = QUIET | {"accelerator": CUDAAccelerator(matmul_precision="medium")}
    Trainer(max_epochs=1, **options).fit(module, loader(2))
    assert module.seen == "medium"
    assert torch.get_float32_matmul_precision() == before
