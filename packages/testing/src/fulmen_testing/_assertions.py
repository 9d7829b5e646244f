"""Lets pytest explain the assertions of the conformance classes. Imported before them."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("fulmen_testing.conformance")
