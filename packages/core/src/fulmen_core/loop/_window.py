"""The accumulation window: how many batches make one optimizer step."""

from __future__ import annotations

from fulmen_core.loop._progress import FitProgress
from fulmen_interfaces import ConfigurationError, Problem


class AccumulationWindow:
    """Says for each batch whether it opens or closes a window, and by what its loss is divided.

    The last window of an epoch may be smaller. Where the number of batches is known, its losses are divided by its real
    size from the start; where it is not, they were divided by the full size and `correction` mends the gradients.
    """

    def __init__(self, progress: FitProgress, size: int, num_batches: int | float) -> None:
        self.size = size
        self._configured = size
        self.num_batches = num_batches
        self._progress = progress
        self.opens = True
        self.closes = True
        self.divisor = size
        self.varies = True
        """Whether `advance` is needed: windows of one batch are all alike, behind one that a checkpoint left open."""

    def advance(self, *, is_last: bool) -> None:
        """Enter the next batch."""
        filled = self._progress.window_filled
        self.opens = filled == 0
        if self.opens:
            left = self.num_batches - (self._progress.batches.ready - 1)
            self.divisor = int(min(self.size, max(left, 1)))
        self._progress.window_filled = filled + 1
        self.closes = filled + 1 >= self.size or is_last
        self.varies = self.size != 1 or not self.opens

    @property
    def correction(self) -> float:
        """Factor by which the gradients of a closing window must be multiplied: 1 but for unforeseen ends."""
        return self.divisor / self._progress.window_filled

    def resize(self, size: int) -> None:
        """Let the windows from the next batch on have another size. Raises ConfigurationError within a window."""
        if size == self.size:
            return
        filled, reason = self._progress.window_filled, None
        if type(size) is not int or size < 1:
            reason, remedy = "A window holds a whole number of batches, one at least.", "Give 1 or more."
        elif filled:
            reason = f"{filled} of the {self.size} batches of the present window have run already."
            remedy = "Set it where none is open: in `on_train_epoch_start`, or after a batch that stepped."
        if reason is not None:
            raise ConfigurationError([Problem("accumulate_grad_batches", size, reason, remedy)])
        self.size = size
        self.varies = True

    def state_dict(self) -> dict[str, int]:
        """Return what an open window needs to go on, and its size where that was set while training."""
        changed = {} if self.size == self._configured else {"size": self.size}
        return {"divisor": self.divisor, **changed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what `state_dict` returned."""
        self.divisor = state["divisor"]
        self.size = state.get("size", self.size)
        self.varies = True
