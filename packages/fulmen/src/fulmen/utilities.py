"""Small helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_callbacks import measure_flops as measure_flops
    from fulmen_core import CombinedLoader as CombinedLoader
    from fulmen_core import isolate_rng as isolate_rng
    from fulmen_core import seed_everything as seed_everything
    from fulmen_core.batches import move_to_device
    from fulmen_core.hparams import AttributeDict as AttributeDict
    from fulmen_core.hparams import HyperparametersMixin as HyperparametersMixin
    from fulmen_core.module import EVAL_DATALOADERS as EVAL_DATALOADERS
    from fulmen_core.module import STEP_OUTPUT as STEP_OUTPUT
    from fulmen_core.module import TRAIN_DATALOADERS as TRAIN_DATALOADERS
    from fulmen_core.module import LRSchedulerTypeUnion as LRSchedulerTypeUnion
    from fulmen_core.module import OptimizerLRScheduler as OptimizerLRScheduler
    from fulmen_core.module import grad_norm as grad_norm
    from fulmen_interfaces import rank_zero_info as rank_zero_info
    from fulmen_interfaces import rank_zero_only as rank_zero_only
    from fulmen_interfaces import rank_zero_warn as rank_zero_warn

    move_data_to_device = move_to_device

_TYPES = ("EVAL_DATALOADERS", "LRSchedulerTypeUnion", "OptimizerLRScheduler", "STEP_OUTPUT", "TRAIN_DATALOADERS")

_NAMES = {
    "AttributeDict": "fulmen_core.hparams",
    "CombinedLoader": "fulmen_core",
    "HyperparametersMixin": "fulmen_core.hparams",
    **dict.fromkeys(_TYPES, "fulmen_core.module"),
    "grad_norm": "fulmen_core.module",
    "isolate_rng": "fulmen_core",
    "measure_flops": "fulmen_callbacks",
    "move_data_to_device": "fulmen_core.batches:move_to_device",
    "rank_zero_info": "fulmen_interfaces",
    "rank_zero_only": "fulmen_interfaces",
    "rank_zero_warn": "fulmen_interfaces",
    "seed_everything": "fulmen_core",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
