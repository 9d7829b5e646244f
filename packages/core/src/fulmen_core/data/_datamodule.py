"""LightningDataModule: all that is needed to get data, in one reusable object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from fulmen_core._class_only import class_only
from fulmen_core.batches import DataHooks
from fulmen_core.hparams import DATAMODULE_KEYS, HyperparametersMixin

if TYPE_CHECKING:
    from fulmen_core.checkpoint import CheckpointSource

D = TypeVar("D", bound="LightningDataModule")


class LightningDataModule(DataHooks, HyperparametersMixin):
    """Downloads, splits and loads data, apart from any model.

    ::

        class Digits(L.LightningDataModule):
            def prepare_data(self):
                download()

            def setup(self, stage):
                self.train, self.val = split()

            def train_dataloader(self):
                return DataLoader(self.train, batch_size=32, shuffle=True)

            def val_dataloader(self):
                return DataLoader(self.val, batch_size=32)
    """

    name: str | None = None
    """What to call it."""
    trainer: Any = None
    """The Trainer that runs it, for any type of Trainer; None before the first run."""
    CHECKPOINT_HYPER_PARAMS_KEY = DATAMODULE_KEYS.values
    CHECKPOINT_HYPER_PARAMS_NAME = DATAMODULE_KEYS.name
    CHECKPOINT_HYPER_PARAMS_TYPE = DATAMODULE_KEYS.type

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of it: tensors and plain values."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def on_exception(self, exception: BaseException) -> None:
        """An error ended the run, or the user did."""

    @classmethod
    def from_datasets(
        cls: type[D],
        train_dataset: Any = None,
        val_dataset: Any = None,
        test_dataset: Any = None,
        predict_dataset: Any = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> D:
        """Return a data module that loads these datasets; each is one dataset, or several.

        A mapping, list or tuple, or an iterator is taken for several, anything else for one dataset. Training data of
        known length is shuffled. `datamodule_kwargs` are the arguments of `__init__`.
        """
        module = cls(**datamodule_kwargs)
        load = partial(DataLoader, batch_size=batch_size, num_workers=num_workers)
        given = {
            "train_dataloader": train_dataset,
            "val_dataloader": val_dataset,
            "test_dataloader": test_dataset,
            "predict_dataloader": predict_dataset,
        }
        for hook, datasets in given.items():
            if datasets is not None:
                shuffle = hook == "train_dataloader"
                several = list(datasets) if isinstance(datasets, Iterator) else datasets
                setattr(module, hook, partial(_loaders, several, load, shuffle))
        return module

    @class_only
    def load_from_checkpoint(
        cls: type[D],
        checkpoint_path: CheckpointSource,
        map_location: Any = None,
        hparams_file: str | PathLike[str] | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> D:
        """Make a data module with the hyper-parameters of a checkpoint, and give it its state. Call it on the class.

        `hparams_file` (YAML or CSV) replaces the checkpoint's hyper-parameters, `kwargs` single ones. Only tensors and
        plain values are read unless `weights_only=False`. Raises CheckpointError where something is missing.
        """
        from fulmen_core.checkpoint import load_datamodule  # who defines a data module may never read a file

        return load_datamodule(
            cls,
            checkpoint_path,
            map_location=map_location,
            hparams_file=hparams_file,
            weights_only=weights_only,
            overrides=kwargs,
        )


def _loaders(datasets: Any, load: partial[DataLoader[Any]], shuffle: bool) -> Any:
    """Return a loader for a dataset; for a mapping of datasets a dict of loaders, for a list of them a list."""
    if isinstance(datasets, Mapping):
        return {name: _loader(dataset, load, shuffle) for name, dataset in datasets.items()}
    if isinstance(datasets, (list, tuple)):
        return [_loader(dataset, load, shuffle) for dataset in datasets]
    return _loader(datasets, load, shuffle)


def _loader(dataset: Dataset[Any], load: partial[DataLoader[Any]], shuffle: bool) -> DataLoader[Any]:
    # Asked for here, in the process that trains: where one looked for CUDA, its forks cannot use it.
    pin_memory = torch.accelerator.is_available()
    return load(dataset, shuffle=shuffle and not isinstance(dataset, IterableDataset), pin_memory=pin_memory)
