"""Where loaders come from."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

from fulmen_core.batches import DataHooks
from fulmen_core.data import CombinedLoader, DataSource, LightningDataModule, map_loaders, training_loader
from fulmen_interfaces import ConfigurationError, DataError


class Module(DataHooks):
    def train_dataloader(self) -> Any:
        return ["module's"]

    def val_dataloader(self) -> Any:
        return ["module's, too"]


class Data(LightningDataModule):
    def train_dataloader(self) -> Any:
        return ["data module's"]


def test_the_modules_hooks_are_asked() -> None:
    source = DataSource.of(Module(), given={"train_dataloader": None, "val_dataloader": None})
    assert source.request("train_dataloader") == ["module's"]
    defined = [source.defines(hook) for hook in ("train_dataloader", "val_dataloader", "test_dataloader")]
    assert defined == [True, True, False]


def test_what_is_passed_wins() -> None:
    source = DataSource.of(Module(), given={"train_dataloader": ["passed"], "val_dataloader": None})
    assert source.request("train_dataloader") == ["passed"]
    assert source.request("val_dataloader") == ["module's, too"]
    assert DataSource.of(Module(), given={"test_dataloader": ["passed"]}).defines("test_dataloader")


@pytest.mark.parametrize("in_place", [True, False])
def test_a_data_module_is_asked_instead_of_the_module(in_place: bool) -> None:
    data = Data()
    given = {"train_dataloader": data if in_place else None, "val_dataloader": None}
    source = DataSource.of(Module(), given=given, datamodule=None if in_place else data)
    assert source.datamodule is data
    assert source.request("train_dataloader") == ["data module's"]
    assert not source.defines("val_dataloader")


def test_hooks_may_be_given_to_the_object() -> None:
    data = LightningDataModule()
    data.val_dataloader = lambda: ["given"]  # type: ignore[method-assign]
    source = DataSource.of(Module(), given={"dataloaders": None}, datamodule=data)
    assert source.defines("val_dataloader")
    assert source.request("val_dataloader") == ["given"]


def test_loaders_beside_a_data_module_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="val_dataloaders"):
        DataSource.of(Module(), given={"train_dataloader": None, "val_dataloader": []}, datamodule=Data())
    with pytest.raises(ConfigurationError, match="`validate` was given dataloaders"):
        DataSource.of(Module(), given={"val_dataloader": [1]}, datamodule=Data(), call="validate")
    with pytest.raises(ConfigurationError, match="two data modules"):
        DataSource.of(Module(), given={"train_dataloader": Data()}, datamodule=Data())


def test_errors_name_the_hook_that_is_missing() -> None:
    with pytest.raises(DataError, match=r"Module\.test_dataloader.*dataloaders="):
        DataSource.of(Module(), given={}).request("test_dataloader")
    with pytest.raises(DataError, match=r"Data\.val_dataloader"):
        DataSource.of(Module(), given={}, datamodule=Data()).request("val_dataloader")

    class Forgetful(Module):
        def train_dataloader(self) -> Any:
            pass

    with pytest.raises(DataError, match=r"Forgetful\.train_dataloader` returned None"):
        DataSource.of(Forgetful(), given={}).request("train_dataloader")


def test_several_loaders_are_cycled_through() -> None:
    loader = training_loader({"a": range(2), "b": [range(3)]})
    assert isinstance(loader, CombinedLoader)
    assert [batch for batch, _, _ in loader] == [{"a": 0, "b": [0]}, {"a": 1, "b": [1]}, {"a": 0, "b": [2]}]


@pytest.mark.parametrize(
    "loader",
    [
        range(3),
        [1, 2],
        [torch.ones(1), torch.ones(2)],
        [(torch.ones(1), 2)],
        [{"x": torch.ones(1)}],
        [(numpy.ones(1), numpy.ones(1))],
        CombinedLoader([]),
    ],
    ids=["range", "numbers", "tensors", "tuples", "dicts", "arrays", "combined"],
)
def test_one_loader_and_a_list_of_batches_stay_what_they_are(loader: Any) -> None:
    assert training_loader(loader) is loader


def test_every_loader_of_a_collection_can_be_exchanged() -> None:
    loaders = {"a": range(2), "b": (range(3), [1, 2])}
    assert map_loaders(loaders, list) == {"a": [0, 1], "b": ([0, 1, 2], [1, 2])}
    assert loaders == {"a": range(2), "b": (range(3), [1, 2])}
    assert map_loaders(range(2), list) == [0, 1]
