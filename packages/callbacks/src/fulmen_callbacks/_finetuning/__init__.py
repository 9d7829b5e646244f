"""Finetuning: layers that are frozen first and trained later."""

from __future__ import annotations

from fulmen_callbacks._finetuning._backbone import BackboneFinetuning, multiplicative
from fulmen_callbacks._finetuning._base import BaseFinetuning

__all__ = ["BackboneFinetuning", "BaseFinetuning", "multiplicative"]
