"""The hooks by which a module or a data module offers data."""

from __future__ import annotations

from typing import Any

import torch

from fulmen_core.batches._transfer import move_to_device
from fulmen_interfaces import DataError


class DataHooks:
    """Where data comes from and how a batch gets to the device. Define the hooks that your data needs.

    A loader hook returns a loader, several (a list, tuple or dict, also nested), a `CombinedLoader`, or any iterable of
    batches.
    """

    prepare_data_per_node: bool = True
    """Whether `prepare_data` runs once on every machine; False: once in all, for file systems that machines share."""

    def prepare_data(self) -> None:
        """Download and preprocess, in one process only. What it assigns to `self` is unknown to the other processes."""

    def setup(self, stage: str) -> None:
        """Make datasets, in every process. `stage` is `fit`, `validate`, `test` or `predict`."""

    def teardown(self, stage: str) -> None:
        """End that stage, in every process."""

    def train_dataloader(self) -> Any:
        """Return what to train on; `fit` reads all loaders at once."""
        raise _undefined(self, "train_dataloader")

    def val_dataloader(self) -> Any:
        """Return what to validate on, in `fit` and `validate`; several loaders are read one after the other."""
        raise _undefined(self, "val_dataloader")

    def test_dataloader(self) -> Any:
        """Return what to test on; several loaders are read one after the other."""
        raise _undefined(self, "test_dataloader")

    def predict_dataloader(self) -> Any:
        """Return what to predict for; several loaders are read one after the other."""
        raise _undefined(self, "predict_dataloader")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Return the batch, perhaps altered, before it goes to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch on the device; define it for batches of types of your own."""
        return move_to_device(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Return the batch, perhaps altered, now that it is on the device."""
        return batch


def overrides_data_hook(source: DataHooks, hook: str) -> bool:
    """Whether the object's class defines that hook, or the object itself was given one."""
    given = getattr(source, hook)
    return callable(given) and getattr(given, "__func__", given) is not getattr(DataHooks, hook)


def _undefined(source: DataHooks, hook: str) -> DataError:
    name = type(source).__name__
    return DataError(
        f"{name}.{hook}() was called, but {name} does not define it. "
        f"Define `{hook}(self)` so that it returns an iterable of batches, or pass the loaders to the Trainer's method."
    )
