"""Small helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_core import CombinedLoader as CombinedLoader
    from fulmen_core import isolate_rng as isolate_rng
    from fulmen_core import seed_everything as seed_everything
    from fulmen_core.hparams import AttributeDict as AttributeDict
    from fulmen_core.module import grad_norm as grad_norm
    from fulmen_interfaces import rank_zero_info as rank_zero_info
    from fulmen_interfaces import rank_zero_only as rank_zero_only
    from fulmen_interfaces import rank_zero_warn as rank_zero_warn

_NAMES = {
    "AttributeDict": "fulmen_core.hparams",
    "CombinedLoader": "fulmen_core",
    "grad_norm": "fulmen_core.module",
    "isolate_rng": "fulmen_core",
    "move_data_to_device": "fulmen_core.batches:move_to_device",
    "rank_zero_info": "fulmen_interfaces",
    "rank_zero_only": "fulmen_interfaces",
    "rank_zero_warn": "fulmen_interfaces",
    "seed_everything": "fulmen_core",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
