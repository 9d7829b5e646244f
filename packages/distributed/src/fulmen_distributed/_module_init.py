"""Making modules where they will live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, final

import torch
from torch.overrides import TorchFunctionMode


@final
class OnDevice(AbstractContextManager[None]):
    """A context in which new tensors lie on a device, where `empty` without torch's initial values."""

    def __init__(self, device: torch.device, *, empty: bool) -> None:
        self._device = device
        self._empty = empty
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._stack.enter_context(self._device)
        if self._empty:
            self._stack.enter_context(SkipInitializers())

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


@final
class SkipInitializers(TorchFunctionMode):
    """A context in which the functions of `torch.nn.init` leave tensors as they are.

    Real memory is taken at once, so tied weights stay tied and computed buffers stay right, which a module made on
    the meta device and filled later would lose.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run every function but initializers, which return the tensor that they were given."""
        given = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)
