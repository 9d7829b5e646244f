"""Finetuning of a module whose `backbone` is unfrozen at one epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from fulmen_callbacks._finetuning._base import BaseFinetuning
from fulmen_interfaces import ConfigurationError, ModuleView, Problem, TrainerView, rank_zero_info


def multiplicative(epoch: int) -> float:
    """Return 2: the backbone's learning rate doubles every epoch."""
    return 2.0


class BackboneFinetuning(BaseFinetuning):
    """Train all but the module's `backbone` at first, and that too from `unfreeze_backbone_at_epoch` on.

    Its learning rate begins with `backbone_initial_lr`, or with the present one times `backbone_initial_ratio_lr`, and
    is multiplied by `lambda_func(epoch + 1)` at each further epoch, up to the present one where `should_align` is set.
    Batch norms are trained all along with `train_bn`, and not at all without.
    """

    def __init__(  # noqa: PLR0913 (the arguments that users know)
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ) -> None:
        super().__init__()
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(_backbone_of(pl_module), train_bn=self.train_bn)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Optimizer) -> None:
        current = optimizer.param_groups[0]["lr"]
        if epoch == self.unfreeze_backbone_at_epoch:
            rate = self.backbone_initial_lr or current * self.backbone_initial_ratio_lr
            self.unfreeze_and_add_param_group(
                _backbone_of(pl_module), optimizer, rate, initial_denom_lr=self.initial_denom_lr, train_bn=self.train_bn
            )
        elif epoch > self.unfreeze_backbone_at_epoch and self.previous_backbone_lr is not None:
            rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            rate = current if self.should_align and rate > current else rate
            optimizer.param_groups[-1]["lr"] = rate
        else:
            return
        self.previous_backbone_lr = rate
        if self.verbose:
            rank_zero_info(
                f"Learning rates: {round(current, self.rounding)}, of the backbone {round(rate, self.rounding)}."
            )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]
        super().load_state_dict(state_dict)

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self.previous_backbone_lr = None
        super().setup(trainer, pl_module, stage)


def _backbone_of(pl_module: Any) -> nn.Module:
    backbone = getattr(pl_module, "backbone", None)
    if isinstance(backbone, nn.Module):
        return backbone
    reason = f"{type(pl_module).__name__} has no layer of that name to freeze."
    remedy = "Set `self.backbone` to a torch.nn.Module in its `__init__`."
    raise ConfigurationError([Problem("backbone", backbone, reason, remedy)])
