"""Summaries: what a model consists of."""

from __future__ import annotations

from fulmen_callbacks._summary._callback import ModelSummary, RichModelSummary
from fulmen_callbacks._summary._summarize import summarize
from fulmen_callbacks._summary._text import LayerSummary, Summary

__all__ = ["LayerSummary", "ModelSummary", "RichModelSummary", "Summary", "summarize"]
