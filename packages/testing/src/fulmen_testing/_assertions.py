"""Lets pytest explain assertions that are made here. Imported before them."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("fulmen_testing.conformance", "fulmen_testing._programs")
