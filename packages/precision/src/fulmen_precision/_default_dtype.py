"""The type of new tensors, for a while."""

from __future__ import annotations

from typing import final

import torch


@final
class DefaultDtype:
    """A context in which new floating-point tensors have a certain type unless they say otherwise."""

    __slots__ = ("_before", "_dtype")

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._before = dtype

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)

    def __exit__(self, *error: object) -> None:
        torch.set_default_dtype(self._before)
