"""Stopping at a loss that jumps."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from typing import Any, Literal

from torch import Tensor

from fulmen_callbacks import _files
from fulmen_callbacks._agreed import any_rank
from fulmen_callbacks._problems import at_least, one_of, refuse
from fulmen_interfaces import Callback, FulmenError, ModuleView, TrainerView


class TrainingSpikeException(FulmenError, RuntimeError):
    """The loss jumped."""

    def __init__(self, batch_idx: int, loss: float, usual: float) -> None:
        self.batch_idx, self.loss, self.usual = batch_idx, loss, usual
        super().__init__(
            f"The loss of batch {batch_idx} is {loss:.5g}, that of batches before was {usual:.5g} on average. "
            "Go on from a checkpoint without that batch, or raise SpikeDetection's `atol` or `rtol`."
        )

    def __reduce__(self) -> tuple[type[TrainingSpikeException], tuple[object, ...]]:
        return type(self), (self.batch_idx, self.loss, self.usual)


class SpikeDetection(Callback):
    """Stop with a TrainingSpikeException when the loss of a batch jumps, on any rank.

    It jumps when it is worse than the one before and away from the mean of the last `window` losses by `atol` and by
    `rtol` times that mean (either may be None), or with `finite_only` when it is no finite number. The first `warmup`
    batches are not judged. The batch and the one before it, which may have done the harm, are added to the list in the
    file `exclude_batches_path`; a path that does not end with `.json` is a folder, and the file `skip_batches.json`.

    The loss is read after every batch, which waits for the device.
    """

    def __init__(
        self,
        mode: Literal["min", "max"] = "min",
        window: int = 10,
        warmup: int = 1,
        atol: float | None = None,
        rtol: float | None = 2.0,
        exclude_batches_path: str | os.PathLike[str] | None = None,
        finite_only: bool = True,
    ) -> None:
        refuse([one_of("mode", mode, ("min", "max")), at_least("window", window, 1), at_least("warmup", warmup, 0)])
        self.mode = mode
        self.warmup = warmup
        self.atol = atol
        self.rtol = rtol
        self.finite_only = finite_only
        self.bad_batches: list[int] = []
        path = os.fspath(exclude_batches_path or "")
        self.exclude_batches_path = path if path.endswith(".json") else os.path.join(path, "skip_batches.json")
        self._seen = 0
        self._recent: deque[float] = deque(maxlen=window)

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        if stage == "fit":
            self._seen = 0
            self._recent.clear()

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is None:
            return
        value = loss.item() if isinstance(loss, Tensor) else float(loss)
        spike = self._seen >= self.warmup and self._is_spike(value)
        self._seen += 1
        if any_rank(trainer, spike):
            self._handle_spike(trainer, batch_idx)
            raise TrainingSpikeException(batch_idx, value, self._usual())
        self._recent.append(value)

    def state_dict(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "warmup": self.warmup,
            "atol": self.atol,
            "rtol": self.rtol,
            "bad_batches": list(self.bad_batches),
            "bad_batches_path": self.exclude_batches_path,
            "recent": list(self._recent),
            "seen": self._seen,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.mode = state_dict["mode"]
        self.warmup = state_dict["warmup"]
        self.atol, self.rtol = state_dict["atol"], state_dict["rtol"]
        self.bad_batches = list(state_dict["bad_batches"])
        self.exclude_batches_path = state_dict["bad_batches_path"]
        self._recent.clear()
        self._recent.extend(state_dict.get("recent", []))
        self._seen = state_dict.get("seen", 0)

    def _is_spike(self, loss: float) -> bool:
        if self.finite_only and not math.isfinite(loss):
            return True
        if not self._recent:
            return False
        change = loss - self._recent[-1]
        if change < 0 if self.mode == "min" else change > 0:
            return False
        usual = self._usual()
        distance = abs(loss - usual)
        far = self.atol is None or distance >= abs(self.atol)
        return far and (self.rtol is None or distance >= abs(self.rtol * usual))

    def _usual(self) -> float:
        return sum(self._recent) / len(self._recent) if self._recent else math.nan

    def _handle_spike(self, trainer: TrainerView, batch_idx: int) -> None:
        self.bad_batches += [number for number in (batch_idx - 1, batch_idx) if number >= 0]
        if trainer.is_global_zero:
            _files.write_text(self.exclude_batches_path, json.dumps(self.bad_batches, indent=4))
