"""An accumulation window: gradients from the first backward pass after a step to the next step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, final

from torch import Tensor, nn

from fulmen_strategy_deepspeed._fragment_sums import FragmentSums
from fulmen_strategy_deepspeed._gradients import multiply, parts_of_step
from fulmen_strategy_deepspeed._partition_sums import PartitionSums
from fulmen_strategy_deepspeed._pieces import Pieces, shape_of
from fulmen_strategy_deepspeed._sums import Sums


@final
class Window:
    """Adds gradients up, and makes them ready for the step.

    ZeRO wants to know in advance which backward pass is the last, and what it gathered before, of parameters that have
    no part in that one, it forgets. So it is told that none is, and gradients are made ready afterwards; but for a
    pass that is likely to be the only one, where being told saves a copy, or lets reduction run beside it.
    """

    def __init__(self, engine: Any, pieces: Pieces, *, stage: int) -> None:
        self._engine, self._zero, self._pieces, self._stage = engine, engine.optimizer, pieces, stage
        self._sums: Sums = (
            PartitionSums(self._zero, pieces) if stage == 3 else FragmentSums(engine, pieces, stage=stage)
        )
        self.filled = False
        """Whether there are gradients."""
        self._ready = False
        """Whether they are as the step reads them."""
        self._mixed = False
        """Whether a rank's own gradients may lie beside such as are reduced."""
        self._more_follow = False

    @property
    def parameters(self) -> Collection[nn.Parameter]:
        """Whose gradients they are."""
        return self._pieces.places

    @contextmanager
    def left_open(self) -> Iterator[None]:
        """Inside, no backward pass is the last before a step."""
        before, self._more_follow = self._more_follow, True
        try:
            yield
        finally:
            self._more_follow = before

    def backward(self, loss: Tensor, *, retain_graph: bool) -> None:
        """Add the gradients of a loss."""
        if not self.filled:
            self._sums.clear()
        elif self._ready:
            self._reopen()
        alone = not (self.filled or self._more_follow)
        self._engine.set_gradient_accumulation_boundary(alone)
        self._sums.expect(alone=alone)
        self._engine.backward(loss, retain_graph=retain_graph)
        self.filled, self._ready = True, alone

    def make_ready(self) -> None:
        """Let the step find what was added up. On all ranks; without gradients, or a second time, nothing happens."""
        if not self.filled:
            return
        self._sums.keep()
        if not self._ready:
            self._engine.set_gradient_accumulation_boundary(True)
            self._sums.finish()
            self._ready = True
        self._sums.wait()

    def multiply(self, factor: float) -> None:
        """Multiply all gradients."""
        if self.filled:
            self.make_ready()
            multiply(self._zero, factor, stage=self._stage)

    def end(self) -> None:
        """The step has been."""
        self.filled = self._ready = self._mixed = False

    @property
    def reduced(self) -> bool:
        """Whether `gradients` returns parts of the mean over all ranks."""
        return self._sums.reduced or self._ready or self._mixed

    def gradients(self) -> dict[nn.Parameter, Tensor]:
        """Return copies: this rank's parts of the mean, flat and perhaps empty, or its own, whole. On all ranks."""
        if not self.filled:
            return {}
        if self._ready or self._mixed:
            self.make_ready()
        return parts_of_step(self._zero, self._pieces, stage=self._stage) if self._ready else self._sums.get()

    def begin_with(self, gradients: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
        """Put in whole gradients: the mean over all ranks, or, if they are not `reduced` at first, this rank's own.

        ValueError, and nothing is put in, where one does not fit its parameter.
        """
        self._sums.clear()
        self._sums.put({parameter: self._taken(parameter, whole) for parameter, whole in gradients})
        self.filled, self._ready, self._mixed = True, False, False

    def _taken(self, parameter: nn.Parameter, whole: Tensor) -> Tensor:
        shape = shape_of(parameter)
        if whole.numel() != shape.numel():
            raise ValueError(f"a gradient has {whole.numel()} elements, but its parameter {shape.numel()}")
        return self._pieces.places[parameter].of(whole).clone() if self._sums.reduced else whole

    def _reopen(self) -> None:
        self.make_ready()
        self._sums.reopen(parts_of_step(self._zero, self._pieces, stage=self._stage))
        self._mixed = not self._sums.reduced
