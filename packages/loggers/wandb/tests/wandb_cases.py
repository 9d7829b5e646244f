"""Ends runs of Weights & Biases, and reads the files that they leave."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb
from wandb.proto import wandb_internal_pb2

_BLOCK = 32768
_HEADER_OF_FILE, _HEADER_OF_PART = 7, 7
_WHOLE, _FIRST, _LAST = 1, 2, 4


def end_all_runs() -> None:
    """Have every run write the rest of its file: the library writes in blocks, the last one when the run ends."""
    wandb.setup().finish_all_active_runs()
    wandb.teardown()


def records_of(root: Path, run_id: object) -> list[Any]:
    """End all runs and return the records of one; the process that writes them may be a moment late."""
    end_all_runs()
    (file,) = root.glob(f"wandb/offline-run-*/run-{run_id}.wandb")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(_records(file))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{file} has no end")


def _records(file: Path) -> Iterator[Any]:
    """Yield the records of a run's file: the blocks of a LevelDB log, with protocol buffers in them."""
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
