"""LightningModule: what a user writes."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from fulmen_core._class_only import class_only
from fulmen_core.batches import DataHooks
from fulmen_core.hparams import MODULE_KEYS, HyperparametersMixin
from fulmen_core.module._export_methods import ExportMethods
from fulmen_core.module._hooks import ModuleHooks
from fulmen_core.module._logging_methods import LoggingMethods
from fulmen_core.module._optimisation_methods import OptimisationMethods
from fulmen_core.module._run_properties import RunProperties
from fulmen_interfaces import ModuleError

if TYPE_CHECKING:
    from fulmen_core.checkpoint import CheckpointSource

M = TypeVar("M", bound="LightningModule")


class LightningModule(
    ModuleHooks,
    DataHooks,
    HyperparametersMixin,
    OptimisationMethods,
    LoggingMethods,
    RunProperties,
    ExportMethods,
):
    """A `torch.nn.Module` that also says how it is trained, validated, tested and asked for predictions.

    The least is `training_step` and `configure_optimizers`::

        class Classifier(L.LightningModule):
            def training_step(self, batch, batch_idx):
                x, y = batch
                loss = F.cross_entropy(self.net(x), y)
                self.log("train_loss", loss)
                return loss

            def configure_optimizers(self):
                return torch.optim.AdamW(self.parameters())
    """

    example_input_array: Any = None
    """One input of `forward`: a tensor, a tuple of arguments or a dict of keywords."""
    strict_loading: bool = True
    """Whether a checkpoint must hold exactly this module's weights."""
    CHECKPOINT_HYPER_PARAMS_KEY: ClassVar[str] = MODULE_KEYS.values
    CHECKPOINT_HYPER_PARAMS_NAME: ClassVar[str] = MODULE_KEYS.name
    CHECKPOINT_HYPER_PARAMS_TYPE: ClassVar[str] = MODULE_KEYS.type
    __jit_unused_properties__: ClassVar[list[str]] = [
        "current_epoch", "device", "dtype", "fabric", "global_rank", "global_step", "hparams", "hparams_initial",
        "local_rank", "logger", "loggers", "on_gpu", "trainer",
    ]  # fmt: skip
    """Properties that scripting must not compile."""
    __jit_ignored_attributes__: ClassVar[list[str]] = [
        "_link", "automatic_optimization", "example_input_array", "prepare_data_per_node", "strict_loading",
    ]  # fmt: skip
    """Attributes that scripting must not read."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loss of one batch: a scalar tensor, a dict with one under `"loss"`, or None to skip it.

        Arguments: `batch`, and `batch_idx` where it is declared.
        """
        raise ModuleError(
            f"{type(self).__name__} has no `training_step`. Define `training_step(self, batch, batch_idx)`."
        )

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one batch: `batch`, `batch_idx`, and `dataloader_idx` where there are several loaders."""
        raise ModuleError(f"{type(self).__name__} has no `validation_step`.")

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        """Test one batch: `batch`, `batch_idx`, and `dataloader_idx` where there are several loaders."""
        raise ModuleError(f"{type(self).__name__} has no `test_step`.")

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """Return predictions for one batch; the arguments are those of `validation_step`."""
        return self(args[0] if args else kwargs["batch"])

    def on_validation_model_zero_grad(self) -> None:
        """Free gradients before validation inside an epoch; not called within an accumulation window."""
        self.zero_grad()

    def on_validation_model_eval(self) -> None:
        """Go to evaluation mode before validation."""
        self.eval()

    def on_validation_model_train(self) -> None:
        """Leave evaluation mode. Where it is not overridden, every submodule returns to the mode that it had."""
        self.train()

    def on_test_model_eval(self) -> None:
        """Go to evaluation mode before testing."""
        self.eval()

    def on_test_model_train(self) -> None:
        """Leave evaluation mode. Where it is not overridden, every submodule returns to the mode that it had."""
        self.train()

    def on_predict_model_eval(self) -> None:
        """Go to evaluation mode before predicting."""
        self.eval()

    @class_only
    def load_from_checkpoint(
        cls: type[M],
        checkpoint_path: CheckpointSource,
        map_location: Any = None,
        hparams_file: str | PathLike[str] | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> M:
        """Make a module with the hyper-parameters and weights of a checkpoint. Call it on the class.

        `kwargs` replace single hyper-parameters, `hparams_file` (YAML or CSV) all of them; `strict` is `strict_loading`
        by default. Only tensors and plain values are read unless `weights_only=False`.
        """
        from fulmen_core.checkpoint import load_module  # who defines a module may never read a file

        return load_module(
            cls,
            checkpoint_path,
            map_location=map_location,
            hparams_file=hparams_file,
            strict=strict,
            weights_only=weights_only,
            overrides=kwargs,
        )

    def freeze(self) -> LightningModule:
        """Switch gradients off and go to evaluation mode; returns itself."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        return self.eval()

    def unfreeze(self) -> LightningModule:
        """Switch gradients on and go to training mode; returns itself."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        return self.train()
