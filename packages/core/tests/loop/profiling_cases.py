"""What the tests of profiling share: a profiler that writes everything down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kernel_cases import Line, trainer


class Notes:
    """A profiler that writes everything down; `calls` are those that ended, `parents` what each lay within."""

    def __init__(self) -> None:
        self.life: list[str] = []
        self.calls: Counter[str] = Counter()
        self.parents: dict[str, set[str]] = {}
        self.steps_after: list[str] = []
        self.attached: list[Any] = []
        self._open: list[str] = []
        self._last = ""

    def setup(self, stage: str, local_rank: int, log_dir: str | None) -> None:
        self.life.append(f"setup {stage} {local_rank}")
        self.log_dir = log_dir

    @contextmanager
    def profile(self, action: str) -> Iterator[None]:
        self.parents.setdefault(action, set()).add(self._open[-1] if self._open else "")
        self._open.append(action)
        try:
            yield
        finally:
            assert self._open.pop() == action
            self.calls[action] += 1
            self._last = action

    def step(self) -> None:
        assert "training_batch" not in self._open
        self.steps_after.append(self._last)

    def describe(self) -> None:
        assert not self._open
        self.life.append("describe")

    def teardown(self, stage: str) -> None:
        self.life.append(f"teardown {stage}")

    def attach(self, module: Any) -> None:
        self.attached.append(module)

    def plain(self) -> dict[str, int]:
        """Return the calls of the loop's own actions, those at the beginning of a run left out."""
        setting_up = ("prepare_model", "finalize_loggers")
        return {
            name: count
            for name, count in self.calls.items()
            if "." not in name and not name.endswith("_dataloader") and name not in setting_up
        }


class Checked(Line):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0])


def profiled(**arguments: Any) -> tuple[Any, Notes]:
    notes = Notes()
    return trainer(profiler=notes, **arguments), notes
