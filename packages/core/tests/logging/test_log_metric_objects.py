"""Logging torchmetrics objects: values per step from `forward`, values per epoch from `compute`, a new start after."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, loader, rounded, trainer
from logging_cases import BOTH, EPOCH, STEP, Looking

from fulmen_testing import FakeLogger

torchmetrics = pytest.importorskip("torchmetrics")

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")


class Metered(Line):
    """Counts 0, 1, 2, ... in a metric, and logs it with the given arguments."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.mean = torchmetrics.MeanMetric()
        self.val_mean = torchmetrics.MeanMetric()
        self.options = options
        self.left: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.mean(float(batch_idx))
        self.log("m", self.mean, **self.options)
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_mean(100.0 + batch_idx)
        self.log("v", self.val_mean, **self.options)

    def on_train_epoch_start(self) -> None:
        self.left.append(self.mean.update_count)


def fit(module: Any, **run: Any) -> Any:
    fitted = trainer(**{"max_epochs": 2, "num_sanity_val_steps": 1, **run})
    fitted.fit(module, loader(3, size=4, last=1))
    return fitted


@pytest.mark.parametrize(
    ("options", "truth"),
    [({}, {"m": 2}), (STEP, {"m": 2}), (EPOCH, {"m": 1}), (BOTH, {"m": 1, "m_step": 2, "m_epoch": 1})],
)
def test_a_metric_gives_its_newest_value_per_step_and_its_own_reduction_per_epoch(options: Any, truth: Any) -> None:
    module = Metered(**options)
    assert rounded(fit(module).callback_metrics) == truth
    assert module.left == [0, 0]  # every epoch begins anew, whatever was logged of it


def test_step_values_are_seen_within_the_batch() -> None:
    looking = Looking("train_batch_end")
    fit(Metered(**BOTH), max_epochs=1, callbacks=[looking])
    assert [metrics["m_step"] for _, metrics in looking.of(1)] == [0, 1, 2]


def test_update_alone_is_enough_for_epoch_values() -> None:
    class Updating(Metered):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.mean.update(float(batch_idx))
            self.log("m", self.mean, **EPOCH)
            return self.loss(batch)

    assert rounded(fit(Updating()).callback_metrics) == {"m": 1}


def test_in_evaluation_the_epoch_is_the_default() -> None:
    ready = trainer()
    assert ready.validate(Metered(), loader(3), verbose=False) == [{"v": 101.0}]


def test_a_metric_is_not_weighted_by_batch_size() -> None:
    class Own(Metered):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.mean.update(float(batch_idx), weight=10.0 if batch_idx else 1.0)
            self.log("v", self.mean)

    assert rounded(trainer().validate(Own(), loader(2, size=4, last=1), verbose=False)[0]) == {"v": round(10 / 11, 5)}


def test_one_metric_under_two_names_gives_both_the_whole_epoch() -> None:
    class Twice(Metered):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.mean(float(batch_idx))
            self.log("a", self.mean, **EPOCH)
            self.log("b", self.mean, **BOTH)

    assert trainer().validate(Twice(), loader(3), verbose=False) == [{"a": 1.0, "b_epoch": 1.0}]


def test_what_the_epoch_gathered_is_there_until_its_end_hooks_have_run() -> None:
    class Ending(Metered):
        seen: ClassVar[list[float]] = []

        def on_validation_epoch_end(self) -> None:
            self.seen.append(self.val_mean.compute().item())

        def on_validation_end(self) -> None:
            self.seen.append(self.val_mean.compute().item())

        def on_train_epoch_end(self) -> None:
            self.seen.append(self.mean.compute().item())
            self.log("whole", self.mean)

    module = Ending(**STEP)
    fitted = trainer(num_sanity_val_steps=0)
    fitted.validate(module, loader(3), verbose=False)
    fitted.fit(module, loader(3))
    assert Ending.seen == [101.0, 101.0, 1.0]
    assert fitted.callback_metrics["whole"] == 1.0
    assert module.mean.update_count == 0


def test_the_sanity_check_leaves_nothing_in_a_metric() -> None:
    fitted = trainer(num_sanity_val_steps=2)
    fitted.fit(Metered(), loader(3), loader(3))
    assert fitted.callback_metrics["v"] == 101.0


def test_a_collection_is_logged_as_a_dict() -> None:
    generator = torch.Generator().manual_seed(3)
    guesses = [torch.randint(0, 3, (6,), generator=generator) for _ in range(4)]
    truths = [torch.randint(0, 3, (6,), generator=generator) for _ in range(4)]

    def collection() -> Any:
        kinds = {
            "accuracy": torchmetrics.classification.MulticlassAccuracy(num_classes=3, average="micro"),
            "precision": torchmetrics.classification.MulticlassPrecision(num_classes=3),
            "recall": torchmetrics.classification.MulticlassRecall(num_classes=3),
        }
        return torchmetrics.MetricCollection(kinds, prefix="val_")

    class Collected(Line):
        def __init__(self) -> None:
            super().__init__()
            self.metrics = collection()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.metrics(guesses[batch_idx], truths[batch_idx])
            self.log_dict(self.metrics)

    module = Collected()
    for _ in range(2):
        (result,) = trainer().validate(module, loader(4), verbose=False)
        truth = collection()(torch.cat(guesses), torch.cat(truths))
        assert result == pytest.approx({key: value.item() for key, value in truth.items()}, abs=1e-6)


def test_a_collection_with_updates_only_is_logged_over_several_epochs() -> None:
    class Collected(Line):
        def __init__(self) -> None:
            super().__init__()
            self.metrics = torchmetrics.MetricCollection([torchmetrics.MeanMetric(), torchmetrics.MaxMetric()])

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.metrics.update(10.0 * self.current_epoch + batch_idx)
            self.log_dict(self.metrics, on_step=False, on_epoch=True)
            return self.loss(batch)

    logger = FakeLogger()
    fit(Collected(), logger=logger)
    assert [metrics for _, metrics in logger.metrics] == [
        {"MeanMetric": 1.0, "MaxMetric": 2.0, "epoch": 0},
        {"MeanMetric": 11.0, "MaxMetric": 12.0, "epoch": 1},
    ]


def test_metrics_of_one_s_own_per_loader_are_told_apart() -> None:
    class PerLoader(Line):
        def __init__(self) -> None:
            super().__init__()
            self.means = torch.nn.ModuleList([torchmetrics.MeanMetric() for _ in range(2)])

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.means[dataloader_idx](100.0 * dataloader_idx + batch_idx)
            self.log("v", self.means[dataloader_idx])

    results = trainer().validate(PerLoader(), [loader(2), loader(3)], verbose=False)
    assert results == [{"v/dataloader_idx_0": 0.5}, {"v/dataloader_idx_1": 101.0}]


def test_numbers_may_be_logged_beside_metrics() -> None:
    class Mixed(Metered):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("number", 5.0)
            return super().training_step(batch, batch_idx)

    assert rounded(fit(Mixed()).callback_metrics) == {"number": 5, "m": 2}


def test_a_run_of_one_process_asks_no_others_although_an_earlier_run_joined_them() -> None:
    asked: list[Any] = []
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        module = Metered(on_epoch=True)
        module.mean.dist_sync_fn = module.val_mean.dist_sync_fn = lambda *given, **named: asked.append(given)
        run = trainer()
        run.fit(module, loader(3), loader(2))
    finally:
        torch.distributed.destroy_process_group()
    assert asked == []
    assert rounded(run.callback_metrics) == {"m": 1.0, "m_step": 2.0, "m_epoch": 1.0, "v": 100.5}
