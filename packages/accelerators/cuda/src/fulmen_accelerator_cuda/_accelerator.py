"""GPUs that torch calls `cuda`: NVIDIA's, and AMD's by ROCm."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, final

import torch

from fulmen_accelerator_cuda._matmul import MATMUL_PRECISIONS, MatmulPrecision, hint_matmul_precision
from fulmen_accelerator_cuda._memory import free_memory, is_out_of_memory
from fulmen_accelerator_cuda._probe import num_cuda_devices, probe_cuda
from fulmen_accelerator_cuda._stats import device_stats
from fulmen_interfaces import ALL_DTYPES, AcceleratorSpec, ConfigurationError, DType, Problem


@final
class CUDAAccelerator:
    """GPUs that torch calls `cuda`. Each process uses one; indices count among those that CUDA_VISIBLE_DEVICES leaves.

    Arguments:
        matmul_precision: how float32 matrix products are computed during runs: "highest", "high" (TensorFloat-32) or
            "medium" (bfloat16 where that is faster), as `torch.set_float32_matmul_precision` has it. None: as is.
    """

    def __init__(self, *, matmul_precision: MatmulPrecision | None = None) -> None:
        if matmul_precision is not None and matmul_precision not in MATMUL_PRECISIONS:
            reason = "There is no such precision of matrix products."
            remedy = f"Write one of {', '.join(map(repr, MATMUL_PRECISIONS))}."
            raise ConfigurationError([Problem("matmul_precision", matmul_precision, reason, remedy)])
        self._matmul_precision = matmul_precision
        self._matmul_precision_before: str | None = None
        self._device: torch.device | None = None
        self._copy_streams: dict[torch.device, torch.cuda.Stream] = {}

    @staticmethod
    def is_available() -> bool:
        """Return whether this process sees a GPU, without starting CUDA."""
        return probe_cuda().available

    @staticmethod
    def auto_device_count() -> int:
        """Return how many GPUs `devices="auto"` takes: all that this process sees."""
        return num_cuda_devices()

    @property
    def spec(self) -> AcceleratorSpec:
        """What the family offers."""
        return CUDA_SPEC

    def device(self, index: int) -> torch.device:
        """Return `cuda:index`."""
        return torch.device("cuda", index)

    def setup(self, device: torch.device) -> None:
        """Make the GPU current in this process: kernels and `.cuda()` go there. Starts CUDA."""
        torch.cuda.set_device(device)
        self._device = device
        if self._matmul_precision is None:
            hint_matmul_precision(device)
            return
        if self._matmul_precision_before is None:
            self._matmul_precision_before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self._matmul_precision)

    def teardown(self) -> None:
        """Give cached memory back, and put the precision of matrix products back where this object had set it."""
        if self._matmul_precision_before is not None:
            torch.set_float32_matmul_precision(self._matmul_precision_before)
            self._matmul_precision_before = None
        self._copy_streams.clear()
        torch.cuda.empty_cache()

    # -- random numbers ------------------------------------------------------------------------------------------------

    def random_state(self) -> Mapping[str, torch.Tensor]:
        """Return the state of this process' GPU by name; nothing before `setup`, for asking would start CUDA."""
        if self._device is None:
            return {}
        return {str(self._device): torch.cuda.get_rng_state(self._device)}

    def set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the state of this process' GPU. That of a single GPU of another number is taken for it."""
        if self._device is None:
            return
        only = next(iter(state.values())) if len(state) == 1 else None
        mine = state.get(str(self._device), only)
        if mine is not None:
            torch.cuda.set_rng_state(mine.cpu(), self._device)

    # -- memory --------------------------------------------------------------------------------------------------------

    def stats(self, device: torch.device) -> Mapping[str, float]:
        """Return figures of torch's allocator and of the device; with nvidia-ml-py also of its load."""
        return device_stats(device)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether the error says that the GPU's memory did not suffice, also within cuBLAS and cuDNN."""
        return is_out_of_memory(error)

    def free_memory(self) -> None:
        """Collect what nobody refers to any more, and give cached memory back to the driver."""
        free_memory()

    # -- copies beside computing ---------------------------------------------------------------------------------------

    def copy_stream(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which copies go on one stream per device, other than the one that computes."""
        return torch.cuda.stream(self._copy_stream(device))

    def wait_for_copies(self, device: torch.device) -> None:
        """Let the present stream of the device wait for all copies issued so far. The host goes on."""
        torch.cuda.current_stream(device).wait_stream(self._copy_stream(device))

    def keep_alive(self, tensor: torch.Tensor) -> None:
        """Keep the tensor's memory from being used for the next copy while the present stream still reads it."""
        tensor.record_stream(torch.cuda.current_stream(tensor.device))

    def _copy_stream(self, device: torch.device) -> torch.cuda.Stream:
        stream = self._copy_streams.get(device)
        if stream is None:
            stream = self._copy_streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return stream


CUDA_SPEC = AcceleratorSpec(
    name="cuda",
    create=CUDAAccelerator,
    summary="GPUs of NVIDIA, and of AMD by ROCm.",
    device_type="cuda",
    probe=probe_cuda,
    priority=100,
    families=frozenset({"gpu"}),
    dtypes=ALL_DTYPES,
    autocast=frozenset({DType.BFLOAT16, DType.FLOAT16}),
    loss_scaling=True,
    process_group="gloo" if sys.platform == "win32" else "nccl",  # torch has no NCCL on Windows
)
