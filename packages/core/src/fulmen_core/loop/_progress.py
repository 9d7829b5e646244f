"""How far a fit has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Phase(str, Enum):
    """Where in an epoch a fit is, as far as a checkpoint written there must know."""

    BETWEEN_EPOCHS = "between_epochs"
    IN_EPOCH = "in_epoch"
    """Between two batches, or within one that is not done."""
    BATCH_ENDED = "batch_ended"
    """A batch is done and its end hooks have run; metrics are not flushed, validation has not run."""
    VALIDATED = "validated"
    """The validation after a batch is done."""
    EPOCH_ENDED = "epoch_ended"
    """The epoch's end hooks have run; plateau schedulers have not stepped, epoch metrics are not flushed."""


# For what runs with every batch: before Python 3.12 a member of an enum takes as long as a call.
IN_EPOCH, BATCH_ENDED = Phase.IN_EPOCH, Phase.BATCH_ENDED


@dataclass
class Counter:
    """Occurrences by how far they came."""

    ready: int = 0
    started: int = 0
    processed: int = 0
    completed: int = 0


@dataclass
class FitProgress:
    """Counters of one fit. Written by the loop only, read by everybody."""

    epoch: int = 0
    """The epoch that runs, from 0; after the last, the number of epochs run."""
    epochs: Counter = field(default_factory=Counter)
    batches: Counter = field(default_factory=Counter)
    """Training batches of this epoch."""
    batches_before: int = 0
    """Training batches of the epochs before."""
    global_step: int = 0
    """Steps of all optimizers."""
    stepped_batches: int = 0
    """Batches after which optimizers had their turn, which under manual optimisation are all: what loggers count in."""
    scheduler_steps: int = 0
    window_filled: int = 0
    """Batches whose gradients the open accumulation window holds."""
    validation_batches: list[int] = field(default_factory=list)
    """Validation batches of the whole fit, by loader; the sanity check is not counted."""
    is_last_batch: bool = False
    skip_epoch: bool = False
    """`on_train_batch_start` asked to leave out the rest of this epoch."""
    phase: Phase = Phase.BETWEEN_EPOCHS

    @property
    def logged_step(self) -> int:
        """The number under which loggers write now: of the last step, or of the one whose window is open."""
        return max(self.stepped_batches - (0 if self.window_filled else 1), 0)

    @property
    def total_batches(self) -> int:
        """Training batches of the whole fit that are done."""
        return self.batches_before + self.batches.processed

    def begin_epoch(self) -> None:
        """Start counting an epoch's batches."""
        self.batches = Counter()
        self.window_filled = 0
        self.is_last_batch = self.skip_epoch = False
        self.epochs.ready += 1
        self.epochs.started += 1
        self.phase = Phase.IN_EPOCH

    def leave_batch(self) -> None:
        """Count a batch that was never finished as done: its data was read, and goes on behind it."""
        batches = self.batches
        if self.phase is not Phase.IN_EPOCH or batches.ready == batches.processed:
            return
        if batches.started == batches.ready and self.window_filled:
            self.window_filled -= 1
        self.batches = Counter(*[batches.ready] * 4)

    def end_epoch(self) -> None:
        """Count the epoch as done."""
        self.batches_before += self.batches.processed
        self.batches = Counter()
        self.epochs.completed += 1
        self.epoch += 1
        self.phase = Phase.BETWEEN_EPOCHS
