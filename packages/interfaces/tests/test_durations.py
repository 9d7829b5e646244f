"""Lengths of time as users write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fulmen_interfaces import parse_duration


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("00:12:00:05", timedelta(hours=12, seconds=5)),
        (" 1:0:90:0 ", timedelta(days=1, minutes=90)),
        ("12 h", timedelta(hours=12)),
        ("90s", timedelta(seconds=90)),
        ({"weeks": 1, "hours": 1.5}, timedelta(days=7, minutes=90)),
        (timedelta(3), timedelta(3)),
    ],
)
def test_every_form_is_read(written: Any, meant: timedelta) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize("written", ["12", "12:00", "2 epochs", "soon", "", {"hour": 1}, {"days": 1e99}, 5, None, [1]])
def test_what_is_no_time_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(written)
