"""Where ZeRO adds up the gradients of an accumulation window until its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, final

from torch import Tensor, nn

Gradients = Mapping[nn.Parameter, Tensor]
"""By parameter; those that have none may be absent."""


class Sums(Protocol):
    """The gradients of a window's batches so far."""

    reduced: bool
    """Whether they are the mean over all ranks, of which each has a part; else each rank has whole ones of its own."""

    def clear(self) -> None:
        """Let nothing be left of an earlier window: not every parameter gets a gradient in each."""
        ...

    def keep(self) -> None:
        """Take back what the optimizer's `zero_grad` took away: only a step ends a window."""
        ...

    def expect(self, *, alone: bool) -> None:
        """Make ready for a backward pass, whose gradients are added; `alone`: the step follows, nothing came before."""
        ...

    def finish(self) -> None:
        """Make of them what the step reads."""
        ...

    def wait(self) -> None:
        """Return when offloaded gradients have arrived: copies to the host need not be over when they are asked for."""
        ...

    def reopen(self, parts: Gradients) -> None:
        """Go on adding to what the step would have read: this rank's parts of the mean, flat."""
        ...

    def get(self) -> dict[nn.Parameter, Tensor]:
        """Return copies: parts, flat and perhaps empty, or whole gradients of its own."""
        ...

    def put(self, gradients: Gradients) -> None:
        """Begin with what `get` returned."""
        ...


@final
class HostGradients:
    """What a step reads where the optimizer's states are offloaded: tensors in the host's memory that stay."""

    def __init__(self, flats: Sequence[Tensor], *, offloaded: bool) -> None:
        self._flats = flats if offloaded else ()
        self._gradients = [flat.grad for flat in self._flats]
        """None where they lie on drives."""

    def __bool__(self) -> bool:
        return bool(self._gradients)

    def clear(self) -> None:
        """Set them to zero."""
        self.keep()
        for gradient in self._gradients:
            if gradient is not None:
                gradient.zero_()

    def keep(self) -> None:
        """Put them in their place: `zero_grad` of the optimizer may have taken them away."""
        for flat, gradient in zip(self._flats, self._gradients, strict=True):
            if gradient is not None:
                flat.grad = gradient
