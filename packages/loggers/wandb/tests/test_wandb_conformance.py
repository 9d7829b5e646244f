"""The logger keeps the contract of loggers, read from the file of an offline run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from wandb_cases import records_of

from fulmen_logger_wandb import WANDB_SPEC
from fulmen_testing import LoggerConformance


class TestWandbLogger(LoggerConformance):
    spec = WANDB_SPEC

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"save_dir": str(tmp_path), "offline": True}

    def read_back(self, plugin: Any) -> list[tuple[int, dict[str, float]]]:
        rows = []
        for record in records_of(Path(plugin.save_dir), plugin.version):
            if record.WhichOneof("record_type") == "history":
                row = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
                step = row.pop("trainer/global_step")
                rows.append((step, {name: value for name, value in row.items() if not name.startswith("_")}))
        return rows
