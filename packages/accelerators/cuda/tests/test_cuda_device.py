"""What the accelerator does with a GPU. Where there is none, all of it is skipped with the probe's reason."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fulmen_accelerator_cuda import CUDA_SPEC, CUDAAccelerator, find_usable_cuda_devices

PROBE = CUDA_SPEC.probe()
pytestmark = pytest.mark.skipif(not PROBE.available, reason=PROBE.reason or "a GPU")

SOME_SECONDS = 2_000_000_000
"""Cycles for which a stream is kept busy."""


@pytest.fixture
def device() -> Iterator[torch.device]:
    accelerator = CUDAAccelerator()
    accelerator.setup(accelerator.device(0))
    yield accelerator.device(0)
    accelerator.teardown()


# ---------------------------------------------------------------- copies


def test_a_copy_is_waited_for_by_the_device_and_not_by_the_host(device: torch.device) -> None:
    accelerator, source = CUDAAccelerator(), torch.arange(1000.0).pin_memory()
    with accelerator.copy_stream(device):
        stream = torch.cuda.current_stream(device)
        torch.cuda._sleep(SOME_SECONDS)
        placed = source.to(device, non_blocking=True)
    assert stream != torch.cuda.current_stream(device)
    accelerator.wait_for_copies(device)
    accelerator.keep_alive(placed)
    total = placed.sum()
    assert not stream.query(), "the host went on while the copy was under way"
    assert float(total) == 499500.0


def test_memory_in_use_is_not_given_to_the_next_copy(device: torch.device) -> None:
    accelerator, size = CUDAAccelerator(), 1_000_000
    ones, zeros = torch.ones(size).pin_memory(), torch.zeros(size).pin_memory()
    with accelerator.copy_stream(device):
        first = ones.to(device, non_blocking=True)
    accelerator.wait_for_copies(device)
    accelerator.keep_alive(first)
    torch.cuda._sleep(SOME_SECONDS)
    total = first.sum()
    del first
    with accelerator.copy_stream(device):
        second = zeros.to(device, non_blocking=True)
    assert float(total) == size
    assert float(second.sum()) == 0


# ---------------------------------------------------------------- random numbers, memory, figures


def test_the_random_state_of_a_gpu_of_another_number_is_taken_where_there_is_one(device: torch.device) -> None:
    accelerator = CUDAAccelerator()
    accelerator.setup(device)
    [state] = accelerator.random_state().values()
    first = torch.randn(5, device=device)
    accelerator.set_random_state({"cuda:7": state})
    assert torch.equal(torch.randn(5, device=device), first)
    accelerator.set_random_state({"cuda:7": state, "cuda:8": state})
    assert not torch.equal(torch.randn(5, device=device), first)


def test_figures_show_what_is_allocated(device: torch.device) -> None:
    accelerator = CUDAAccelerator()
    before = accelerator.stats(device)
    held = torch.empty(64 * 2**20, dtype=torch.uint8, device=device)
    after = accelerator.stats(device)
    key = "allocated_bytes.all.current"
    assert after[key] - before[key] == held.numel()
    assert after["device_memory_total_bytes"] == torch.cuda.get_device_properties(device).total_memory
    assert 0 < after["device_memory_free_bytes"] < after["device_memory_total_bytes"]
    assert all(0 <= value <= 100 for name, value in after.items() if name.endswith("_percent"))


def test_a_run_can_go_on_after_a_lack_of_memory(device: torch.device) -> None:
    accelerator = CUDAAccelerator()
    total = torch.cuda.get_device_properties(device).total_memory
    with pytest.raises(RuntimeError) as error:
        torch.empty(2 * total, dtype=torch.uint8, device=device)
    assert accelerator.is_out_of_memory(error.value)
    accelerator.free_memory()
    assert float(torch.ones(3, device=device).sum()) == 3.0


def test_teardown_gives_cached_memory_back(device: torch.device) -> None:
    accelerator = CUDAAccelerator()
    accelerator.setup(device)
    held = torch.empty(64 * 2**20, dtype=torch.uint8, device=device)
    del held
    assert torch.cuda.memory_reserved(device) >= 64 * 2**20
    accelerator.teardown()
    assert torch.cuda.memory_reserved(device) < 64 * 2**20


def test_the_hint_about_tensor_cores_comes_where_there_are_some(caplog: pytest.LogCaptureFixture) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            caplog.clear()
            with caplog.at_level(logging.INFO, logger="fulmen"):
                CUDAAccelerator().setup(torch.device("cuda", 0))
            hinted = "tensor cores" in caplog.text
            assert hinted == (precision == "highest" and torch.cuda.get_device_capability() >= (8, 0))
    finally:
        torch.set_float32_matmul_precision(before)


# ---------------------------------------------------------------- finding


def run_program(program: str, **environment: str) -> Any:
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_cuda_can_be_used_in_a_fork_after_devices_were_looked_for() -> None:
    program = """
import json, os
import torch
import fulmen_core
plan = fulmen_core.Trainer(accelerator="auto", logger=False, devices=1).plan()
reader, writer = os.pipe()
if os.fork() == 0:
    try:
        total = float(torch.ones(3, device="cuda").sum())
    except BaseException as error:
        total = repr(error)
    os.write(writer, json.dumps([plan.accelerator_spec.name, total]).encode())
    os._exit(0)
os.wait()
print(os.read(reader, 1000).decode())
"""
    assert run_program(program) == ["cuda", 3.0]


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_not_found_and_the_variable_is_named(hidden: str) -> None:
    program = (
        "import json; from fulmen_accelerator_cuda import CUDA_SPEC as spec; p = spec.probe()\n"
        "print(json.dumps([p.count, p.reason]))"
    )
    count, reason = run_program(program, CUDA_VISIBLE_DEVICES=hidden)
    assert count == 0
    assert "CUDA_VISIBLE_DEVICES" in reason


def test_free_gpus_are_found() -> None:
    assert find_usable_cuda_devices(1) == [0]
    assert len(find_usable_cuda_devices()) == PROBE.count
