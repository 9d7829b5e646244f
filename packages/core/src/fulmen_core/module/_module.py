"""LightningModule: what a user writes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fulmen_core._class_only import class_only
from fulmen_core.batches import DataHooks
from fulmen_core.hparams import MODULE_KEYS, HyperparametersMixin
from fulmen_core.module._export_methods import ExportMethods
from fulmen_core.module._exports import is_scripting
from fulmen_core.module._hooks import ModuleHooks
from fulmen_core.module._link import AttachedTrainer, RunLink
from fulmen_core.module._optimizer import LightningOptimizer
from fulmen_core.module._toggle import ToggledParameters
from fulmen_interfaces import ClipAlgorithm, GradientClipping, Logger, LoggingError, ModuleError

if TYPE_CHECKING:
    from fulmen_core.checkpoint import CheckpointSource

M = TypeVar("M", bound="LightningModule")


class LightningModule(ModuleHooks, DataHooks, HyperparametersMixin, ExportMethods, nn.Module):
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

    _link: RunLink | None = None
    example_input_array: Any = None
    """One input of `forward`: a tensor, a tuple of arguments or a dict of keywords."""
    automatic_optimization: bool = True
    """Whether the Trainer calls backward and steps. Set it to False to do so in `training_step`."""
    strict_loading: bool = True
    """Whether a checkpoint must hold exactly this module's weights."""
    CHECKPOINT_HYPER_PARAMS_KEY: ClassVar[str] = MODULE_KEYS.values
    CHECKPOINT_HYPER_PARAMS_NAME: ClassVar[str] = MODULE_KEYS.name
    CHECKPOINT_HYPER_PARAMS_TYPE: ClassVar[str] = MODULE_KEYS.type
    __jit_unused_properties__: ClassVar[list[str]] = [
        "current_epoch", "device", "dtype", "global_rank", "global_step", "hparams", "hparams_initial", "local_rank",
        "logger", "loggers", "on_gpu", "trainer",
    ]  # fmt: skip
    """Properties that scripting must not compile."""
    __jit_ignored_attributes__: ClassVar[list[str]] = [
        "_link", "automatic_optimization", "example_input_array", "prepare_data_per_node", "strict_loading",
    ]  # fmt: skip
    """Attributes that scripting must not read."""

    # -- steps ---------------------------------------------------------------------------------------------------------

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

    # -- modes ---------------------------------------------------------------------------------------------------------

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

    # -- optimisation --------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Return what trains the module.

        One optimizer; a list of them; two lists, of optimizers and of schedulers; a dict with `optimizer` and perhaps
        `lr_scheduler`; a list of such dicts; or None to train without one. A scheduler is given as it is or as a dict
        with `scheduler` and perhaps `interval` ("epoch" or "step"), `frequency`, `monitor`, `strict`, `name`.
        """
        raise ModuleError(f"{type(self).__name__} has no `configure_optimizers`. Return an optimizer from it, or None.")

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """Return the optimizer, or the list of them, for manual optimisation."""
        wrapped = self._attached("optimizers").optimizers
        chosen: list[Any] = list(wrapped) if use_pl_optimizer else [one.optimizer for one in wrapped]
        return chosen[0] if len(chosen) == 1 else chosen

    def lr_schedulers(self) -> Any:
        """Return the scheduler, the list of them, or None, for manual optimisation."""
        schedulers = [config.scheduler for config in self._attached("lr_schedulers").scheduler_configs]
        if not schedulers:
            return None
        return schedulers[0] if len(schedulers) == 1 else schedulers

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients in manual optimisation; use it instead of `loss.backward()`."""
        if self.automatic_optimization:
            raise ModuleError(
                "`manual_backward` was called under automatic optimisation, which calls backward itself. "
                "Set `self.automatic_optimization = False` in `__init__`, or return the loss from `training_step`."
            )
        self._attached("manual_backward").backward(loss, *args, **kwargs)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients of `loss`; override it to call backward in your own way."""
        if self._link is None:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
        else:
            self._link.plain_backward(loss, *args, **kwargs)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step an optimizer; override it to change how or when. The closure runs the step and its gradients."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear an optimizer's gradients."""
        optimizer.zero_grad()

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a scheduler; `metric` is the value of its `monitor`, if it has one."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Bound gradients before an optimizer's step; by default as the Trainer's arguments say."""
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def clip_gradients(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Bound gradients by norm (the default) or by value; nothing happens without a limit."""
        if gradient_clip_val is None:
            return
        wrapped = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        clipping = GradientClipping(float(gradient_clip_val), ClipAlgorithm(gradient_clip_algorithm or "norm"))
        self._attached("clip_gradients").clip_gradients(wrapped, clipping)

    def toggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Let gradients flow into this optimizer's parameters only, until `untoggle_optimizer`."""
        wrapped = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        others = [one.optimizer for one in self._attached("toggle_optimizer").optimizers]
        self.untoggle_optimizer(optimizer)
        self.__dict__["_toggled"] = ToggledParameters(wrapped, others)

    def untoggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Undo `toggle_optimizer`."""
        toggled: ToggledParameters | None = self.__dict__.pop("_toggled", None)
        if toggled is not None:
            toggled.restore()

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> Iterator[None]:
        """Inside, gradients flow into this optimizer's parameters only."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    # -- logging -------------------------------------------------------------------------------------------------------

    def log(  # noqa: PLR0913 - the arguments are those that users know
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any | None = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log a number, a tensor with one element, or a torchmetrics metric.

        `on_step` keeps the newest value, `on_epoch` reduces all of an epoch by `reduce_fx` ("mean", "sum", "min", "max"
        or a function of the stacked values), a mean being weighted by the batch's size. With both, the keys are
        `name_step` and `name_epoch`. Left out, they follow the hook: per step in training steps, per epoch elsewhere.
        Values stay on their device until they are written.

        Raises LoggingError where the hook, the name or the value allow no such logging.
        """
        if self._link is None:
            self._log_without_trainer(name)
            return
        self._link.recorder.log(
            name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
            add_dataloader_idx, batch_size, metric_attribute, rank_zero_only,
        )  # fmt: skip

    def log_dict(self, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log several values at once: a mapping or a torchmetrics collection; the rest is as for `log`."""
        if not hasattr(dictionary, "items"):  # a collection of torchmetrics has them, too, and is no mapping
            raise LoggingError(
                f"`self.log_dict` was given a {type(dictionary).__name__}. Give a dict of values by name, or a "
                "collection of torchmetrics; `self.log` logs a single value."
            )
        for name, value in dictionary.items():
            self.log(name, value, *args, **kwargs)

    # -- the run -------------------------------------------------------------------------------------------------------

    @property
    def trainer(self) -> AttachedTrainer:
        """The trainer that this module takes part in a run of."""
        return self._attached("trainer").trainer

    @property
    def logger(self) -> Logger | None:
        """The first logger of the run, if any."""
        loggers = self.loggers
        return loggers[0] if loggers else None

    @property
    def loggers(self) -> Sequence[Logger]:
        """All loggers of the run."""
        return self._link.trainer.loggers if self._link is not None else ()

    @property
    def current_epoch(self) -> int:
        """The epoch that is running; 0 outside of runs."""
        return self._link.trainer.current_epoch if self._link is not None else 0

    @property
    def global_step(self) -> int:
        """Steps of all optimizers so far; 0 outside of runs."""
        return self._link.trainer.global_step if self._link is not None else 0

    @property
    def global_rank(self) -> int:
        """This process among all; 0 outside of runs."""
        return self._link.world.rank if self._link is not None else 0

    @property
    def local_rank(self) -> int:
        """This process among those of its machine; 0 outside of runs."""
        return self._link.world.local_rank if self._link is not None else 0

    @property
    def device(self) -> torch.device:
        """The device of this process in a run; outside, that of the first parameter or buffer."""
        if self._link is not None and self._link.device is not None:
            return self._link.device
        tensor = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first floating-point parameter, or torch's default."""
        return next((one.dtype for one in self.parameters() if one.is_floating_point()), torch.get_default_dtype())

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without tearing a progress bar."""
        if self._link is None:
            print(*args, **kwargs)  # noqa: T201
        else:
            self._link.print(*args, **kwargs)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Return all ranks' tensors, stacked along a new first dimension, in nested structures too. On all ranks."""
        return self._attached("all_gather").all_gather(data, group, sync_grads)

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

    def attach(self, link: RunLink | None) -> None:
        """Take part in a run, or leave it. Called by the engine."""
        self.__dict__["_link"] = link

    def __getstate__(self) -> dict[str, Any]:
        # A copy or a pickle of the module must not drag the run along.
        state = dict(self.__dict__)
        state.pop("_link", None)
        state.pop("_toggled", None)
        return state

    def _attached(self, wanted: str) -> RunLink:
        if self._link is None:
            if is_scripting():
                raise AttributeError(wanted)
            raise ModuleError(
                f"`self.{wanted}` was used, but this {type(self).__name__} is not part of a run. "
                "It works inside the hooks and steps that `Trainer.fit`, `validate`, `test` or `predict` call."
            )
        return self._link

    def _log_without_trainer(self, name: str) -> None:
        warnings.warn(
            f"`self.log({name!r}, ...)` was called outside of a run and had no effect.", UserWarning, stacklevel=3
        )
