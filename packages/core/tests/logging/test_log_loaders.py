"""Logging with several evaluation loaders: keys by loader, and a dict of results for each."""

from __future__ import annotations

from typing import Any

import pytest
from kernel_cases import Line, loader, rounded, trainer
from logging_cases import BAR, BOTH, Looking

from fulmen_core import CombinedLoader
from fulmen_interfaces import LoggingError
from fulmen_testing import FakeLogger

SUFFIX = "/dataloader_idx_"


class Several(Line):
    """Logs `100 × (loader + 1) + batch`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("v", 100.0 * (dataloader_idx + 1) + batch_idx, **self.options)

    test_step = validation_step


RESULTS = [{f"v{SUFFIX}0": 100.5}, {f"v{SUFFIX}1": 200.0}]


@pytest.mark.parametrize(
    "loaders",
    [
        [loader(2), loader(1)],
        (loader(2), loader(1)),
        {"a": loader(2), "b": loader(1)},
        CombinedLoader([loader(2), loader(1)], "sequential"),
    ],
    ids=["list", "tuple", "dict", "combined"],
)
@pytest.mark.parametrize("call", ["validate", "test"])
def test_every_loader_has_keys_and_a_result_of_its_own(loaders: Any, call: str) -> None:
    ready = trainer()
    assert getattr(ready, call)(Several(), loaders, verbose=False) == RESULTS
    assert rounded(ready.callback_metrics) == {**RESULTS[0], **RESULTS[1]}


@pytest.mark.parametrize("loaders", [loader(2), [loader(2)], {"only": loader(2)}], ids=["bare", "list", "dict"])
def test_one_loader_has_plain_keys(loaders: Any) -> None:
    assert trainer().validate(Several(), loaders, verbose=False) == [{"v": 100.5}]


def test_the_suffix_follows_those_of_step_and_epoch() -> None:
    logger = FakeLogger()
    ready = trainer(logger=logger)
    results = ready.validate(Several(**BOTH, **BAR), [loader(2), loader(1)], verbose=False)
    assert results == [{f"v_epoch{SUFFIX}0": 100.5}, {f"v_epoch{SUFFIX}1": 200.0}]
    epochs = {f"v_epoch{SUFFIX}0": 100.5, f"v_epoch{SUFFIX}1": 200.0}
    steps = {f"v_step{SUFFIX}0": 101.0, f"v_step{SUFFIX}1": 200.0}
    assert rounded(ready.logged_metrics) == rounded(ready.progress_bar_metrics) == {**epochs, **steps}
    assert rounded(ready.callback_metrics) == {**epochs, f"v{SUFFIX}0": 100.5, f"v{SUFFIX}1": 200.0}
    assert logger.metrics == [
        (0, {f"v_step{SUFFIX}0": 100.0}),
        (1, {f"v_step{SUFFIX}0": 101.0}),
        (0, {f"v_step{SUFFIX}1": 200.0}),
        (0, {**epochs, "epoch": 0}),
    ]


def test_the_values_of_a_loader_are_seen_while_the_next_is_read() -> None:
    looking = Looking("validation_batch_end")
    trainer(callbacks=[looking]).validate(Several(), [loader(2), loader(1)], verbose=False)
    assert [metrics for _, metrics in looking.of(1)] == [{}, {}, RESULTS[0]]


def test_what_is_logged_without_a_loader_is_in_every_result() -> None:
    class Ending(Several):
        def on_validation_epoch_end(self) -> None:
            self.log("all", 7.0)

    results = trainer().validate(Ending(), [loader(2), loader(1)], verbose=False)
    assert results == [{**RESULTS[0], "all": 7.0}, {**RESULTS[1], "all": 7.0}]


def test_without_the_suffix_names_must_differ_by_loader() -> None:
    class Named(Several):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log(f"v{dataloader_idx}", float(batch_idx), add_dataloader_idx=False)

    results = trainer().validate(Named(), [loader(2), loader(2)], verbose=False)
    assert results == [{"v0": 0.5}, {"v1": 0.5}]
    with pytest.raises(LoggingError, match=r"for two loaders.*a name of its own"):
        trainer().validate(Several(add_dataloader_idx=False), [loader(2), loader(1)], verbose=False)


def test_the_second_validation_of_a_fit_counts_each_loader_s_batches_on() -> None:
    logger = FakeLogger()
    run = {"max_epochs": 2, "num_sanity_val_steps": 2, "logger": logger}
    trainer(**run).fit(Several(on_step=True, on_epoch=False), loader(1), [loader(2), loader(1)])
    assert logger.metrics == [
        (0, {f"v{SUFFIX}0": 100.0}),
        (1, {f"v{SUFFIX}0": 101.0}),
        (0, {f"v{SUFFIX}1": 200.0}),
        (2, {f"v{SUFFIX}0": 100.0}),
        (3, {f"v{SUFFIX}0": 101.0}),
        (1, {f"v{SUFFIX}1": 200.0}),
    ]


def test_more_than_ten_loaders_are_told_apart() -> None:
    results = trainer().validate(Several(), [loader(1)] * 12, verbose=False)
    assert results == [{f"v{SUFFIX}{number}": 100.0 * (number + 1)} for number in range(12)]
