"""Verifying that a user's own module and data resume exactly: run, cut, resume, compare."""

from __future__ import annotations

from fulmen_core.verification._differences import Difference, first_difference
from fulmen_core.verification._report import CutResult, ResumeReport
from fulmen_core.verification._verify import verify_resume

__all__ = ["CutResult", "Difference", "ResumeReport", "first_difference", "verify_resume"]
