"""What users write, on machines with so many GPUs, and what they are told where there is none. No GPU is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from fulmen_accelerator_cpu import CPU_SPEC
from fulmen_accelerator_cuda import CUDA_SPEC, CUDAAccelerator, find_usable_cuda_devices, num_cuda_devices
from fulmen_accelerator_cuda._probe import hiding_variable, reason_for_none
from fulmen_core import RunRequest, Trainer, resolve
from fulmen_interfaces import (
    ACCELERATORS,
    LAUNCHERS,
    PRECISIONS,
    STRATEGIES,
    Catalogue,
    ConfigurationError,
    LauncherSpec,
    Probe,
    StrategySpec,
)
from fulmen_precision import BF16_MIXED, FP16_MIXED, FP32_TRUE, FP64_TRUE

Machine = Callable[..., Catalogue]


@pytest.fixture
def machine() -> Machine:
    """A machine with so many GPUs, as the resolver sees it."""

    def make(gpus: int) -> Catalogue:
        catalogue = Catalogue()
        probe = Probe(gpus, "" if gpus else "No driver is loaded.")
        for accelerator in (CPU_SPEC, replace(CUDA_SPEC, probe=lambda: probe)):
            catalogue.register(ACCELERATORS, accelerator)
        catalogue.register(STRATEGIES, StrategySpec(name="spread", create=object, priority=1, launcher="any"))
        catalogue.register(LAUNCHERS, LauncherSpec(name="any", create=object))
        for precision in (FP32_TRUE, FP64_TRUE, FP16_MIXED, BF16_MIXED):
            catalogue.register(PRECISIONS, precision)
        return catalogue

    return make


@pytest.mark.parametrize(
    ("asked", "indices"),
    [
        *[("auto", (0, 1, 2, 3)), (-1, (0, 1, 2, 3)), ("-1", (0, 1, 2, 3))],
        *[(2, (0, 1)), ("2", (0, 1)), ("2,", (2,)), (1, (0,))],
        *[([0, 2], (0, 2)), ("0,2", (0, 2)), ([2, 0], (2, 0)), ([3], (3,))],
    ],
)
def test_devices_are_a_number_a_list_or_a_word(asked: Any, indices: tuple[int, ...], machine: Machine) -> None:
    plan = resolve(RunRequest("cuda", "spread", devices=asked), machine(4))
    assert plan.devices == indices
    placed = [plan.make_accelerator().device(index) for index in plan.devices]
    assert placed == [torch.device("cuda", index) for index in indices]


@pytest.mark.parametrize("asked", [5, [4], [0, 0], [-1], 0, "0;1", [], True])
def test_devices_that_are_not_there_or_make_no_sense_are_refused(asked: Any, machine: Machine) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve(RunRequest("cuda", "spread", devices=asked), machine(4))
    assert error.value.problems[0].argument == "devices"


@pytest.mark.parametrize("word", ["cuda", "gpu", "auto", "GPU"])
@pytest.mark.parametrize("precision", ["32-true", "64-true", "16-mixed", "bf16-mixed"])
def test_every_word_leads_to_gpus_where_there_are_some(word: str, precision: str, machine: Machine) -> None:
    plan = resolve(RunRequest(word, "spread", precision=precision, devices=1), machine(1))
    assert plan.accelerator_spec.name == "cuda"


def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_why(machine: Machine) -> None:
    plan = resolve(RunRequest(strategy="spread"), machine(0))
    assert plan.accelerator_spec.name == "cpu"
    assert "cuda is left out: No driver is loaded." in str(plan)


@pytest.mark.parametrize("word", ["cuda", "gpu"])
def test_asking_for_a_gpu_where_there_is_none_says_why_and_what_would_work(word: str, machine: Machine) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve(RunRequest(word, "spread"), machine(0))
    assert "No driver is loaded." in str(error.value)
    assert "accelerator='cpu' would work" in str(error.value)


@pytest.mark.skipif(num_cuda_devices() > 0, reason="there is a GPU")
def test_the_trainer_gives_the_reason_of_this_machine() -> None:
    reason = CUDA_SPEC.probe().reason
    with pytest.raises(ConfigurationError) as error:
        Trainer(accelerator="cuda")
    assert reason in str(error.value)
    with pytest.raises(ConfigurationError) as error:
        find_usable_cuda_devices(1)
    assert reason in str(error.value)
    assert find_usable_cuda_devices() == find_usable_cuda_devices(0) == []
    assert not CUDAAccelerator.is_available()
    assert CUDAAccelerator.auto_device_count() == 0


@pytest.mark.skipif(torch.version.cuda is not None or torch.version.hip is not None, reason="this torch has CUDA")
def test_a_torch_without_cuda_is_the_reason() -> None:
    assert reason_for_none().startswith(f"torch {torch.__version__} is built without CUDA.")


@pytest.mark.parametrize(
    ("value", "part"), [("", "hides all GPUs"), ("-1", "hides all GPUs"), ("GPU-0", "names no GPU of this machine")]
)
def test_a_variable_that_hides_all_gpus_is_named(value: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    text = hiding_variable()
    assert f"CUDA_VISIBLE_DEVICES={value!r}" in text
    assert part in text


def test_no_variable_is_named_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert hiding_variable() == ""


def test_looking_for_gpus_imports_little_and_starts_nothing() -> None:
    program = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "from fulmen_accelerator_cuda import CUDA_SPEC\n"
        "CUDA_SPEC.probe()\n"
        "own = ('fulmen', 'importlib')\n"
        "print(torch.cuda.is_initialized(), *sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    started, *modules = output.split()
    assert started == "False"
    assert "fulmen_core" not in modules
    assert not {"pynvml", "amdsmi", "psutil"} & (set(modules) if num_cuda_devices() == 0 else set())


# ---------------------------------------------------------------- without a device


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if ..."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"), False),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA out of memory"), False),
        (MemoryError(), False),
    ],
)
def test_lack_of_memory_is_told_from_other_errors(error: BaseException, lacks: bool) -> None:
    accelerator = CUDAAccelerator()
    assert accelerator.is_out_of_memory(error) is lacks
    outer = ValueError("the step failed")
    outer.__cause__ = error
    assert accelerator.is_out_of_memory(outer) is lacks


def test_an_accelerator_that_was_never_set_up_has_no_random_state_and_takes_none() -> None:
    accelerator = CUDAAccelerator()
    assert accelerator.random_state() == {}
    accelerator.set_random_state({"cuda:0": torch.zeros(16, dtype=torch.uint8)})
    assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def test_an_unknown_precision_of_products_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'highest', 'high', 'medium'"):
        CUDAAccelerator(matmul_precision="tf32")  # type: ignore[arg-type]
