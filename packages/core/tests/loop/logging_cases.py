"""What the tests of logging share: a module that logs known values, and a callback that looks at what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernel_cases import Line, rounded

from fulmen_interfaces import Callback

Kinds = Mapping[str, Mapping[str, Any]]
"""Names, and with what arguments each is logged."""


class Logging(Line):
    """In training it logs `10 × epoch + batch + 1` (1, 2, 3, ... 11, 12, 13), in evaluation `100 + batch`."""

    def __init__(self, train: Kinds | None = None, evaluation: Kinds | None = None) -> None:
        super().__init__()
        self.train_kinds = train or {}
        self.evaluation_kinds = evaluation or {}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        for name, options in self.train_kinds.items():
            self.log(name, 10.0 * self.current_epoch + batch_idx + 1, **options)
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        for name, options in self.evaluation_kinds.items():
            self.log(name, 100.0 + batch_idx, **options)

    test_step = validation_step


class Looking(Callback):
    """Keeps, for chosen hooks, what callbacks, loggers and progress bar are shown then."""

    def __init__(self, *hooks: str) -> None:
        self.hooks = hooks
        self.seen: list[tuple[str, dict[str, float], dict[str, float], dict[str, float]]] = []

    def look(self, trainer: Any, hook: str) -> None:
        if hook in self.hooks:
            shown = (trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics)
            self.seen.append((hook, *(rounded(one) for one in shown)))

    def of(self, which: int) -> list[tuple[str, dict[str, float]]]:
        """Return one kind of what was seen: 1 callbacks, 2 loggers, 3 progress bar."""
        return [(one[0], one[which]) for one in self.seen]  # type: ignore[misc]

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.look(trainer, "before_zero_grad")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.look(trainer, "train_batch_end")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "train_epoch_start")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "train_epoch_end")

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "validation_start")

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.look(trainer, "validation_batch_end")

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "validation_epoch_end")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "validation_end")

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "sanity_check_end")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.look(trainer, "train_end")


BOTH = {"on_step": True, "on_epoch": True}
STEP = {"on_step": True, "on_epoch": False}
EPOCH = {"on_step": False, "on_epoch": True}
BAR = {"prog_bar": True}
