from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from fulmen_logger_wandb import WANDB_SPEC
from fulmen_testing import LoggerConformance

_BLOCK = 32768
_HEADER_OF_FILE, _HEADER_OF_PART = 7, 7
_WHOLE, _FIRST, _LAST = 1, 2, 4


def end_all_runs() -> None:
    wandb.setup().finish_all_active_runs()
    wandb.teardown()


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for folder in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(folder, str(tmp_path / "wandb home"))
    yield
    end_all_runs()


def records(file: Path) -> Iterator[Any]:
    """The records of a run's file: the blocks of a LevelDB log, with protocol buffers in them."""
    data, at, whole = file.read_bytes(), _HEADER_OF_FILE, b""
    while at + _HEADER_OF_PART <= len(data):
        rest_of_block = _BLOCK - at % _BLOCK
        if rest_of_block < _HEADER_OF_PART:
            at += rest_of_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        at += _HEADER_OF_PART
        part = data[at : at + length]
        if len(part) < length:
            return
        at += length
        whole = part if kind in (_WHOLE, _FIRST) else whole + part
        if kind in (_WHOLE, _LAST):
            yield wandb_internal_pb2.Record.FromString(whole)


def complete(file: Path) -> list[Any]:
    """The records of a run that has ended; the process that writes them may be a moment late."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(records(file))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{file} has no end")


class TestWandbLogger(LoggerConformance):
    spec = WANDB_SPEC

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"save_dir": str(tmp_path), "offline": True}

    def read_back(self, plugin: Any) -> list[tuple[int, dict[str, float]]]:
        end_all_runs()  # the library writes its file in blocks, the last one when the run ends
        (file,) = Path(plugin.save_dir).glob(f"wandb/offline-run-*/run-{plugin.version}.wandb")
        rows = []
        for record in complete(file):
            if record.WhichOneof("record_type") == "history":
                row = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
                step = row.pop("trainer/global_step")
                rows.append((step, {name: value for name, value in row.items() if not name.startswith("_")}))
        return rows
