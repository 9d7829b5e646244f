"""`to_onnx` and the like, as methods of a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from torch import nn

from fulmen_core.module._exports import FilePath, to_exported_program, to_onnx, to_torchscript

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram


class ExportMethods(nn.Module):
    """A module whose `forward` can be written in formats that other programs run."""

    def to_onnx(
        self, file_path: FilePath | IO[bytes] | None = None, input_sample: Any = None, **kwargs: Any
    ) -> ONNXProgram | None:
        """Export `forward` to ONNX.

        `input_sample` is a tensor, a tuple of arguments or a dict of keywords; by default `example_input_array`.
        `kwargs` go to `torch.onnx.export`.
        """
        return to_onnx(self, file_path, input_sample, **kwargs)

    def to_torchscript(
        self,
        file_path: FilePath | None = None,
        method: str | None = "script",
        example_inputs: Any = None,
        **kwargs: Any,
    ) -> torch.jit.ScriptModule:
        """Compile (`"script"`) or trace (`"trace"`) `forward` to TorchScript, which torch has deprecated."""
        return to_torchscript(self, file_path, method, example_inputs, **kwargs)

    def to_exported_program(
        self,
        file_path: FilePath | None = None,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        dynamic_shapes: Any = None,
    ) -> ExportedProgram:
        """Export `forward` with `torch.export`; `args` and `kwargs` are those of one call."""
        return to_exported_program(self, file_path, args, kwargs, dynamic_shapes)
