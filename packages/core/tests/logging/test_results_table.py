"""The table of results that is printed after validation and test."""

from __future__ import annotations

from typing import Any

import pytest
from kernel_cases import Line, loader, trainer

from fulmen_core.trainer._table import results_table


class Evaluated(Line):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", 0.125 + dataloader_idx)
        self.log("accuracy", 1.0)

    test_step = validation_step


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if not set(line) <= {"─"}]


@pytest.mark.parametrize("call", ["validate", "test"])
def test_it_has_a_row_per_metric(call: str, capsys: pytest.CaptureFixture[str]) -> None:
    getattr(trainer(), call)(Evaluated(), loader(1))
    assert cells(capsys.readouterr().out) == [["metric", call], ["val_loss", "0.125"], ["accuracy", "1"]]


def test_it_has_a_column_per_loader(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().validate(Evaluated(), [loader(1), loader(1)])
    assert cells(capsys.readouterr().out) == [
        ["metric", "validate", "0", "validate", "1"],
        ["val_loss", "0.125", "1.125"],
        ["accuracy", "1", "1"],
    ]


def test_it_is_not_printed_where_it_is_not_wanted_or_empty(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

    trainer().validate(Evaluated(), loader(1), verbose=False)
    trainer().validate(Silent(), loader(1))
    trainer(limit_val_batches=0).validate(Evaluated(), loader(1))
    assert capsys.readouterr().out == ""


def test_its_columns_are_aligned_and_its_numbers_short() -> None:
    table = results_table([{"a": 1 / 3, "a_long_name": float("nan")}, {"a": 1e-9}], "test")
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert cells(table) == [
        ["metric", "test", "0", "test", "1"],
        ["a", "0.333333", "1e-09"],
        ["a_long_name", "nan"],
    ]
