"""A module's `forward` in formats that other programs run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from torch import nn

from fulmen_core.batches import DataHooks, move_to_device
from fulmen_interfaces import ConfigurationError, ModuleError, Problem

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

FilePath = str | PathLike[str]
"""A path as text or as an object."""
_being_scripted: ContextVar[bool] = ContextVar("being_scripted", default=False)


def to_onnx(
    module: nn.Module, file_path: FilePath | IO[bytes] | None = None, input_sample: Any = None, **kwargs: Any
) -> ONNXProgram | None:
    """Export `forward` to ONNX; `kwargs` go to `torch.onnx.export`, whose result is returned.

    `input_sample` is a tensor, a tuple of arguments or a dict of keywords; by default `example_input_array`.
    """
    sample = _sample(module, input_sample, "to_onnx", "input_sample")
    _require_onnx(("onnx", "onnxscript") if kwargs.get("dynamo", True) else ("onnx",))
    if isinstance(file_path, (str, PathLike)):
        Path(file_path).parent.mkdir(parents=True, exist_ok=True)
    with evaluating(module), torch.no_grad():
        # A stream is what the older of torch's two exporters takes, although its annotation does not say so.
        return torch.onnx.export(module, sample.args, file_path, kwargs=sample.kwargs or None, **kwargs)  # type: ignore[arg-type]


def _opened(path: FilePath) -> AbstractContextManager[IO[bytes]]:
    from fulmen_core.checkpoint import opened_for_writing  # who defines a module may never write a file

    return opened_for_writing(fspath(path))


def to_torchscript(
    module: nn.Module,
    file_path: FilePath | None = None,
    method: str | None = "script",
    example_inputs: Any = None,
    **kwargs: Any,
) -> torch.jit.ScriptModule:
    """Compile (`method="script"`) or trace (`"trace"`) `forward` to TorchScript; write it where a path is given.

    `kwargs` go to `torch.jit.script` or `torch.jit.trace`. torch has deprecated TorchScript and says so.
    """
    with evaluating(module), torch.no_grad(), _scripting():
        if method == "script":
            scripted = torch.jit.script(module, **kwargs)
        elif method == "trace":
            sample = _sample(module, example_inputs, "to_torchscript", "example_inputs")
            inputs = {"example_kwarg_inputs": sample.kwargs} if sample.kwargs else {"example_inputs": sample.args}
            scripted = torch.jit.trace(module, **inputs, **kwargs)  # type: ignore[no-untyped-call]
        else:
            raise ConfigurationError(
                [Problem("method", method, "TorchScript is made in two ways.", 'Give method="script" or "trace".')]
            )
    if file_path is not None:
        with _opened(file_path) as file:
            torch.jit.save(scripted, file)
    return scripted  # type: ignore[no-any-return]  # torch's functions are not annotated


def to_exported_program(
    module: nn.Module,
    file_path: FilePath | None = None,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """Export `forward` with `torch.export`, and write it where a path is given (it ends in `.pt2` by custom).

    `args` and `kwargs` are those of one call; by default `example_input_array` is one. `dynamic_shapes` says which
    sizes may differ in other calls, as in `torch.export.export`.
    """
    given = None if args is None and kwargs is None else _Sample(args or (), dict(kwargs or {}))
    sample = _sample(module, given, "to_exported_program", "args")
    with evaluating(module):
        program = torch.export.export(module, sample.args, sample.kwargs, dynamic_shapes=dynamic_shapes)
    if file_path is not None:
        with _opened(file_path) as file:
            torch.export.save(program, file)
    return program


def is_scripting() -> bool:
    """Whether torch is making TorchScript, for which it reads every attribute of a module in turn.

    A property that has no value must then raise AttributeError, whatever it raises at other times.
    """
    return _being_scripted.get()


@contextmanager
def _scripting() -> Iterator[None]:
    token = _being_scripted.set(True)
    try:
        yield
    finally:
        _being_scripted.reset(token)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode; afterwards each of its parts is again in the mode in which it was."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, was_training in training.items():
            part.training = was_training


@dataclass(frozen=True)
class _Sample:
    """One call of `forward`."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> _Sample:
        """Return the call that a tensor, a tuple of arguments or a dict of keywords stands for."""
        if isinstance(given, cls):
            return given
        if isinstance(given, Mapping):
            return cls((), dict(given))
        return cls(tuple(given) if isinstance(given, (tuple, list)) else (given,))


def _sample(module: nn.Module, given: Any, asked: str, argument: str) -> _Sample:
    """Return a call on the module's device, as a batch would get there."""
    chosen = getattr(module, "example_input_array", None) if given is None else given
    if chosen is None:
        name = type(module).__name__
        raise ModuleError(
            f"{name}.{asked} runs `forward` once, and has nothing to run it on: `{argument}` was not given and "
            f"`{name}.example_input_array` is None. Give `{argument}`, or set `self.example_input_array` in `__init__`."
        )
    sample = _Sample.of(chosen)
    tensor = next(module.parameters(), None)
    device = torch.device("cpu") if tensor is None else tensor.device
    return _Sample(_to_device(module, sample.args, device), _to_device(module, sample.kwargs, device))


def _to_device(module: nn.Module, batch: Any, device: torch.device) -> Any:
    if isinstance(module, DataHooks):
        return module.transfer_batch_to_device(batch, device, 0)
    return move_to_device(batch, device)


def _require_onnx(libraries: tuple[str, ...]) -> None:
    missing = [library for library in libraries if importlib.util.find_spec(library) is None]
    if missing:
        message = f"Export to ONNX needs {' and '.join(missing)}. Run `pip install 'fulmen-core[onnx]'`."
        raise ImportError(message, name=missing[0])
