"""A precision for tests: float32 throughout, by doing nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

from torch import nn

from fulmen_interfaces import DType, GradScaler, PrecisionPolicy, PrecisionSpec


@final
class FakePrecision:
    """Converts nothing."""

    @property
    def policy(self) -> PrecisionPolicy:
        """Float32 everywhere."""
        return FAKE_PRECISION_SPEC.policy

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Return the module."""
        return module

    def input_conversion(self) -> Callable[[Any], Any] | None:
        """Return None: batches stay as they are."""
        return None

    def forward_context(self, device_type: str) -> Callable[[], AbstractContextManager[Any]] | None:
        """Return None: steps need no context."""
        return None

    def init_context(self) -> AbstractContextManager[Any]:
        """Return a context that does nothing."""
        return nullcontext()

    def grad_scaler(self, device_type: str) -> GradScaler | None:
        """Return None: the loss is not scaled."""
        return None


FAKE_PRECISION_SPEC = PrecisionSpec(
    name="32-true",
    create=FakePrecision,
    summary="Float32 throughout, for tests.",
    policy=PrecisionPolicy("32-true", DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32),
)
"""Named like the precision that runs have by default, so that a catalogue of fakes suffices for a run."""
