"""The frame of a finetuning schedule."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any, cast

from torch import nn
from torch.optim import Optimizer

from fulmen_callbacks._finetuning import _layers
from fulmen_callbacks._finetuning._gradients import average_gradients
from fulmen_callbacks._finetuning._layers import Modules
from fulmen_callbacks._finetuning._schedules import follow, unknown_groups
from fulmen_callbacks._pieces import is_in_pieces
from fulmen_interfaces import Callback, ModuleView, SupportsStrategy, TrainerView, rank_zero_warn

_GROUPS = "internal_optimizer_metadata"
_TRAINABLE = "trainable"


class BaseFinetuning(Callback):
    """Freeze layers before training and unfreeze them during it.

    Override `freeze_before_training` to freeze (with `self.freeze`), and `finetune_function`, which is called for every
    optimizer at the start of every epoch, to unfreeze (with `self.unfreeze_and_add_param_group`).
    `configure_optimizers` should give optimizers only the parameters that require a gradient. Schedulers go on from the
    rates that `finetune_function` sets. What is trained, and the optimizers' parameter groups, are part of checkpoints.
    """

    def __init__(self) -> None:
        self._groups: dict[int, list[dict[str, Any]]] = {}
        """By optimizer: its parameter groups, with names in the place of parameters."""
        self._fitting = False
        self._trainable: list[str] = []
        self._resumed: dict[int, list[dict[str, Any]]] = {}
        self._wrapped: set[str] = set()
        """Names of what was trained when the model was wrapped for several processes."""
        self._unfrozen: list[nn.Parameter] = []

    def freeze_before_training(self, pl_module: Any) -> None:
        """Freeze what is not trained from the beginning. Called before optimizers are made."""
        raise NotImplementedError(f"{type(self).__name__} must override `freeze_before_training` to freeze layers.")

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze what is trained from that epoch on. Called at the start of every epoch, for each optimizer."""
        raise NotImplementedError(f"{type(self).__name__} must override `finetune_function` to unfreeze layers.")

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._fitting = stage == "fit"
        if self._fitting:
            self._groups, self._resumed, self._trainable = {}, {}, []
            self.freeze_before_training(pl_module)

    def on_load_checkpoint(self, trainer: TrainerView, pl_module: ModuleView, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("callbacks", {}).get(self.state_key)
        if self._fitting and state:  # before the model is wrapped, for wrappers look at `requires_grad`
            held = {name for groups in state[_GROUPS].values() for group in groups for name in group["params"]}
            _train_only(pl_module, set(state.get(_TRAINABLE, held)))

    def on_fit_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        parameters = dict(cast("nn.Module", pl_module).named_parameters())
        for index, groups in self._resumed.items():
            trainer.optimizers[index].param_groups[:] = [
                {**group, "params": [parameters[name] for name in group["params"]]} for group in groups
            ]
        self._resumed = {}
        self._remember(trainer, pl_module)
        self._wrapped, self._unfrozen = set(self._trainable), []
        for config in trainer.lr_scheduler_configs:
            groups = trainer.optimizers[config.opt_idx].param_groups
            for index in unknown_groups(config.scheduler, groups):
                follow(config.scheduler, groups, index)

    def on_train_epoch_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        rates = _rates(trainer)
        for optimizer in trainer.optimizers:
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
        for config in trainer.lr_scheduler_configs:
            groups, known = trainer.optimizers[config.opt_idx].param_groups, rates[config.opt_idx]
            for index in range(1, len(groups)):
                if index >= len(known) or groups[index]["lr"] != known[index]:
                    follow(config.scheduler, groups, index)
        self._remember(trainer, pl_module)
        self._unfrozen = self._missed_by_wrappers(trainer, pl_module)

    def on_after_backward(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._unfrozen:
            average_gradients(self._unfrozen, trainer.collectives)

    def state_dict(self) -> dict[str, Any]:
        return {_GROUPS: self._groups, _TRAINABLE: self._trainable}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._groups = self._resumed = state_dict[_GROUPS]
        self._trainable = list(state_dict.get(_TRAINABLE, []))

    @staticmethod
    def flatten_modules(modules: Modules) -> list[nn.Module]:
        """Return the layers that hold parameters themselves or have no layers in them."""
        return _layers.flatten(modules)

    @staticmethod
    def filter_params(
        modules: Modules, train_bn: bool = True, requires_grad: bool = True
    ) -> Generator[nn.Parameter, None, None]:
        """Yield the parameters that are trained, or those that are not; without `train_bn` not those of batch norms."""
        yield from _layers.parameters_of(modules, train_bn=train_bn, requires_grad=requires_grad)

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Let all parameters be trained."""
        _layers.make_trainable(modules)

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Keep all parameters as they are; batch norms are still trained with `train_bn`."""
        _layers.freeze(modules, train_bn=train_bn)

    @staticmethod
    def freeze_module(module: nn.Module) -> None:
        """Keep the parameters that are the layer's own, not those of layers in it, as they are."""
        _layers.freeze_own(module)

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Return the parameters that the optimizer does not hold yet."""
        return _layers.not_in_optimizer(optimizer, params)

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Let layers be trained, and give their parameters to the optimizer as a group of their own.

        Without `lr` it begins with that of the first group divided by `initial_denom_lr`.
        """
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else lr
        trained = {id(parameter) for parameter in _layers.parameters_of(modules)}
        _layers.make_trainable(modules)
        candidates = _layers.parameters_of(modules, train_bn=train_bn)
        unfrozen = [parameter for parameter in candidates if id(parameter) not in trained]
        parameters = _layers.not_in_optimizer(optimizer, unfrozen)
        if parameters:
            optimizer.add_param_group({"params": parameters, "lr": rate})

    def _missed_by_wrappers(self, trainer: TrainerView, pl_module: ModuleView) -> list[nn.Parameter]:
        """Return whole parameters that are trained since the model was wrapped, if their gradients are our affair."""
        if trainer.world.size == 1:
            return []
        parameters = cast("nn.Module", pl_module).named_parameters()
        missed = [
            parameter
            for name, parameter in parameters
            if parameter.requires_grad and name not in self._wrapped and not is_in_pieces(parameter)
        ]
        if missed and isinstance(trainer, SupportsStrategy) and not trainer.strategy.spec.late_optimizers:
            rank_zero_warn(
                f"Layers were unfrozen after {trainer.strategy.spec.name} had made its own of the model and its "
                "optimizers: it may not train them. Save a checkpoint and resume from it, so that it begins with them."
            )
            return []
        return missed

    def _remember(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        names = {id(parameter): name for name, parameter in cast("nn.Module", pl_module).named_parameters()}
        self._groups = {
            index: [_with_names(group, names) for group in optimizer.param_groups]
            for index, optimizer in enumerate(trainer.optimizers)
        }
        parameters = cast("nn.Module", pl_module).named_parameters()
        self._trainable = [name for name, parameter in parameters if parameter.requires_grad]


def _rates(trainer: TrainerView) -> list[list[float]]:
    return [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in trainer.optimizers]


def _with_names(group: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    return {**group, "params": [names[id(parameter)] for parameter in group["params"] if id(parameter) in names]}


def _train_only(pl_module: ModuleView, names: set[str]) -> None:
    for name, parameter in cast("nn.Module", pl_module).named_parameters():
        parameter.requires_grad = name in names
