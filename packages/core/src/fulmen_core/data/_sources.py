"""Where loaders come from: what was passed to the Trainer, the data module, or the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fulmen_core.batches import DataHooks, overrides_data_hook
from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._datamodule import LightningDataModule
from fulmen_core.data._tree import holds_batches, is_collection
from fulmen_interfaces import ConfigurationError, DataError, Problem

_ARGUMENTS = {
    "train_dataloader": "train_dataloaders",
    "val_dataloader": "val_dataloaders",
    "test_dataloader": "dataloaders",
    "predict_dataloader": "dataloaders",
}


class DataSource:
    """Answers where the loaders of one run come from.

    What was passed wins over the hooks. With a data module its hooks are asked, else the module's.
    """

    def __init__(
        self, module: DataHooks, *, given: Mapping[str, Any], datamodule: LightningDataModule | None = None
    ) -> None:
        self._owner: DataHooks = module if datamodule is None else datamodule
        self._given = {hook: loaders for hook, loaders in given.items() if loaders is not None}
        self.datamodule = datamodule
        """The data module of the run, wherever it was passed."""

    @classmethod
    def of(
        cls,
        module: DataHooks,
        *,
        given: Mapping[str, Any],
        datamodule: LightningDataModule | None = None,
        call: str = "fit",
    ) -> DataSource:
        """Return the source for what was passed to a Trainer's method.

        `given` holds the passed loaders by hook (`train_dataloader`), None where there are none. A data module may
        stand in the place of the first loaders. Raises ConfigurationError for loaders beside a data module, and for
        what is none.
        """
        passed = {hook: loaders for hook, loaders in given.items() if loaders is not None}
        first = next(iter(given), "")
        for argument, value in (("datamodule", datamodule), (_argument(first, call), passed.get(first))):
            if isinstance(value, type) and issubclass(value, LightningDataModule):
                raise _wrong(argument, value, "It is a class.", f"Give an object: {value.__name__}().")
        if datamodule is not None and not isinstance(datamodule, LightningDataModule):
            reason = "It is no LightningDataModule."
            raise _wrong("datamodule", datamodule, reason, "Derive yours from it, or pass loaders.")
        if isinstance(passed.get(first), LightningDataModule):
            in_place = passed.pop(first)
            if datamodule is not None and datamodule is not in_place:
                raise _conflict("datamodule", datamodule, f"`{call}` was given two data modules.")
            datamodule = in_place
        if datamodule is not None and passed:
            names = " and ".join(_argument(hook, call) for hook in passed)
            raise _conflict("datamodule", datamodule, f"`{call}` was given {names}, too.")
        return cls(module, given=passed, datamodule=datamodule)

    def defines(self, hook: str) -> bool:
        """Whether there is data for that hook."""
        return hook in self._given or overrides_data_hook(self._owner, hook)

    def request(self, hook: str) -> Any:
        """Return what was passed, or ask the hook. Raises DataError where there is no data."""
        if hook in self._given:
            return self._given[hook]
        name = type(self._owner).__name__
        if not overrides_data_hook(self._owner, hook):
            raise DataError(
                f"The run needs `{hook}`, but {name} does not define it and no loaders were passed. Define"
                f" `{name}.{hook}(self)` so that it returns a loader, or pass {_ARGUMENTS.get(hook, 'loaders')}=..."
            )
        loaders = getattr(self._owner, hook)()
        if loaders is None:
            raise DataError(
                f"`{name}.{hook}` returned None. Return a loader or several, an empty list for no data, or do not"
                " define it."
            )
        return loaders


def training_loader(loaders: Any) -> Any:
    """Return one loader for what a training hook returned: several are cycled through until the longest ends.

    A list of batches is a loader.
    """
    if is_collection(loaders) and not holds_batches(loaders):
        return CombinedLoader(loaders, "max_size_cycle")
    return loaders


def _argument(hook: str, call: str) -> str:
    return "dataloaders" if call == "validate" else _ARGUMENTS.get(hook, hook)


def _conflict(argument: str, value: object, reason: str) -> ConfigurationError:
    return _wrong(
        argument, type(value).__name__, reason, "Pass either a data module or loaders, and only one data module."
    )


def _wrong(argument: str, value: object, reason: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(argument, value, reason, remedy)])
