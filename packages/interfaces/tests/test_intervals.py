"""Intervals with a unit, as users write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fulmen_interfaces import Every, Unit


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("500 steps", 500, Unit.STEPS),
        ("1 step", 1, Unit.STEPS),
        ("2epochs", 2, Unit.EPOCHS),
        (" 10_000 Samples ", 10000, Unit.SAMPLES),
        ("25 %", 25, Unit.SHARE),
        ("12.5%", 12.5, Unit.SHARE),
        ("0.5 epochs", 50, Unit.SHARE),
        ("30 min", 1800, Unit.SECONDS),
        ("1.5 h", 5400, Unit.SECONDS),
        ("2 days", 172800, Unit.SECONDS),
    ],
)
def test_an_amount_and_a_unit_are_read(text: str, amount: float, unit: Unit) -> None:
    every = Every.parse(text)
    assert (every.amount, every.unit) == (amount, unit)
    assert every.time == (timedelta(seconds=amount) if unit is Unit.SECONDS else None)
    assert Every.parse(str(every)) == every


@pytest.mark.parametrize("text", ["", "500", "steps", "five steps", "-3 steps", "3 parsecs", "00:01:00:00", "1 2 s"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="500 steps"):
        Every.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("0 steps", "Nothing lies"), ("1.5 steps", "whole"), ("1.5 epochs", "whole"), ("120 %", "100 %")],
)
def test_amounts_that_mean_nothing_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Every.parse(text)


@pytest.mark.parametrize(
    ("amount", "unit"), [(0, Unit.STEPS), (-1.0, Unit.SECONDS), (1.5, Unit.EPOCHS), (101, Unit.SHARE)]
)
def test_objects_are_checked_like_text(amount: float, unit: Unit) -> None:
    with pytest.raises(ValueError, match=r"Nothing lies|whole|100 %"):
        Every(amount, unit)
    assert Every(2.0, Unit.STEPS) == Every(2, Unit.STEPS)


@pytest.mark.parametrize(
    ("every", "text"),
    [
        (Every(1, Unit.STEPS), "1 step"),
        (Every(7, Unit.EPOCHS), "7 epochs"),
        (Every(25.0, Unit.SHARE), "25 %"),
        (Every(90.0, Unit.SECONDS), "90 s"),
        (Every(5400.0, Unit.SECONDS), "90 min"),
        (Every(86400.0, Unit.SECONDS), "1 d"),
    ],
)
def test_they_are_printed_as_they_are_written(every: Every, text: str) -> None:
    assert str(every) == text
