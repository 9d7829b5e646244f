"""How checkpoints are named, written, ranked and dropped; when, is not said here."""

from __future__ import annotations

import json
import os
from typing import ClassVar, Literal

from torch import Tensor

from fulmen_callbacks import _files
from fulmen_callbacks._checkpoint._base import Checkpoint
from fulmen_callbacks._checkpoint._folder import default_folder, free_path, matching, may_remove
from fulmen_callbacks._checkpoint._naming import fill_in, pattern_of, warn_of_absent
from fulmen_callbacks._checkpoint._ranking import Ranking
from fulmen_interfaces import TrainerView, rank_zero_info


class CheckpointKeeper(Checkpoint):
    """Writes checkpoints and keeps the best or the newest. Its methods run on all ranks; rank zero decides."""

    CHECKPOINT_JOIN_CHAR: ClassVar[str] = "-"
    CHECKPOINT_EQUALS_CHAR: ClassVar[str] = "="
    CHECKPOINT_NAME_LAST: str = "last"
    FILE_EXTENSION: str = ".ckpt"
    STARTING_VERSION: ClassVar[int] = 1

    def __init__(
        self, dirpath: str | os.PathLike[str] | None, filename: str | None, *, save_top_k: int, mode: str
    ) -> None:
        self.dirpath = None if dirpath is None else _files.absolute(dirpath)
        self.filename = filename or f"{{epoch}}{self.CHECKPOINT_JOIN_CHAR}{{step}}"
        self.auto_insert_metric_name = True
        self.enable_version_counter = True
        self.mode = mode
        self.save_top_k = save_top_k
        self.save_last: bool | Literal["link"] | None = None
        self.save_weights_only = False
        self.verbose = False
        self.current_score: Tensor | None = None
        """The score of the checkpoint that was last admitted among the best."""
        self.best_model_path = ""
        self.best_model_score: Tensor | None = None
        self.last_model_path = ""
        self._ranking = Ranking(save_top_k, mode)
        self._saved_step = 0
        self._saved_path = ""

    @property
    def best_k_models(self) -> dict[str, Tensor]:
        """The best checkpoints and their scores."""
        return self._ranking.scores

    @property
    def kth_best_model_path(self) -> str:
        """The worst of the best, which gives way next; empty until there are `save_top_k`."""
        return self._ranking.worst_path

    @property
    def kth_value(self) -> Tensor:
        """Its score."""
        return self._ranking.worst_value

    def format_checkpoint_name(
        self,
        metrics: dict[str, Tensor],
        filename: str | None = None,
        ver: int | None = None,
        prefix: str | None = None,
    ) -> str:
        """Return the path of a checkpoint: the name filled in with metrics, in `dirpath`."""
        equals = self.CHECKPOINT_EQUALS_CHAR if self.auto_insert_metric_name else None
        name = fill_in(filename or self.filename, metrics, equals=equals)
        parts = [prefix, name, None if ver is None else f"v{ver}"]
        name = self.CHECKPOINT_JOIN_CHAR.join(part for part in parts if part) + self.FILE_EXTENSION
        return os.path.join(self.dirpath, name) if self.dirpath else name

    def check_monitor_top_k(self, trainer: TrainerView, current: Tensor | None = None) -> bool:
        """Return whether a checkpoint of that score would be kept."""
        admitted = current is not None and self._ranking.admits(self._ranking.normalised(current))
        return trainer.collectives.broadcast(admitted)

    def file_exists(self, filepath: str, trainer: TrainerView) -> bool:
        """Return whether rank zero sees that file."""
        return trainer.collectives.broadcast(trainer.is_global_zero and _files.exists(filepath))

    def find_last_checkpoints(self, trainer: TrainerView) -> set[str]:
        """Return the paths of all checkpoints in the folder that were kept as the newest, of earlier runs too."""
        separator = f"{self.CHECKPOINT_JOIN_CHAR}v"
        equals = self.CHECKPOINT_EQUALS_CHAR if self.auto_insert_metric_name else ""
        pattern = pattern_of(self.CHECKPOINT_NAME_LAST, equals, separator, self.FILE_EXTENSION)
        return matching(self.dirpath or default_folder(trainer), pattern)

    def to_yaml(self, filepath: str | os.PathLike[str] | None = None) -> None:
        """Write the best checkpoints and their scores to a YAML file, by default `best_k_models.yaml` beside them."""
        filepath = filepath or os.path.join(self.dirpath or "", "best_k_models.yaml")
        with open(filepath, "w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(path)}: {score.item()}\n" for path, score in self.best_k_models.items())

    def _save_newest(self, trainer: TrainerView, metrics: dict[str, Tensor]) -> None:
        """Write a checkpoint; unless all are kept, the one before goes."""
        old = self.best_model_path
        self.best_model_path = self._agreed_path(trainer, metrics, self.filename, reuse=old)
        self._save_checkpoint(trainer, self.best_model_path)
        if self.save_top_k == 1:
            self._drop(trainer, old, self.best_model_path)

    def _save_if_admitted(self, trainer: TrainerView, metrics: dict[str, Tensor], monitor: str) -> bool:
        """Write a checkpoint if it is among the best, the worst of which goes; return whether it is."""
        score = trainer.collectives.broadcast(self._ranking.normalised(metrics[monitor]))
        if not self._ranking.admits(score):
            self._tell(trainer, f"{monitor} is {score.item():.5g}, which is not among the best {self.save_top_k}")
            return False
        leaving = self._ranking.worst_path if self._ranking.full else ""
        path = self._agreed_path(trainer, metrics, self.filename, reuse=leaving)
        self._ranking.add(path, score)
        self.current_score = score
        self.best_model_path, self.best_model_score = self._ranking.best_path, self._ranking.best_score
        self._tell(trainer, f"{monitor} is {score.item():.5g}, saved as {path!r}")
        self._save_checkpoint(trainer, path)
        self._drop(trainer, leaving, path)
        return True

    def _save_last(self, trainer: TrainerView, metrics: dict[str, Tensor]) -> None:
        """Write or link the checkpoint that is always the newest, where it is asked for."""
        if not self.save_last:
            return
        old = self.last_model_path or self._last_that_was_resumed(trainer)
        self.last_model_path = self._agreed_path(trainer, metrics, self.CHECKPOINT_NAME_LAST, reuse=old)
        linked = self.save_last == "link" and not _files.is_remote(self.last_model_path)
        if linked and self._saved_path and self.save_top_k != 0:
            if trainer.is_global_zero:
                _files.link(self._saved_path, self.last_model_path)
            trainer.collectives.barrier("ModelCheckpoint: link to the last checkpoint")
        else:
            self._save_checkpoint(trainer, self.last_model_path)
        self._drop(trainer, old, self.last_model_path)

    def _last_that_was_resumed(self, trainer: TrainerView) -> str:
        """Return the newest checkpoint of ours from which the run goes on; a link's target does not know of it."""
        if trainer.ckpt_path is None:
            return ""
        kept = self.find_last_checkpoints(trainer)
        return next((path for path in kept if _files.same(path, trainer.ckpt_path)), "")

    def _agreed_path(self, trainer: TrainerView, metrics: dict[str, Tensor], name: str, *, reuse: str = "") -> str:
        path = self._path(metrics, name, reuse) if trainer.is_global_zero else ""
        return trainer.collectives.broadcast(path)

    def _path(self, metrics: dict[str, Tensor], name: str, reuse: str) -> str:
        warn_of_absent(name, metrics)
        if not self.enable_version_counter:
            return self.format_checkpoint_name(metrics, name)
        return free_path(
            lambda version: self.format_checkpoint_name(metrics, name, version),
            reuse=reuse,
            first_version=self.STARTING_VERSION,
        )

    def _save_checkpoint(self, trainer: TrainerView, filepath: str) -> None:
        """Write one checkpoint. For subclasses that write more beside it."""
        trainer.save_checkpoint(filepath, self.save_weights_only)
        self._saved_step = trainer.global_step
        self._saved_path = filepath
        trainer.tell_loggers_of_checkpoint(self)

    def _remove_checkpoint(self, trainer: TrainerView, filepath: str) -> None:
        """Remove one checkpoint. For subclasses that keep more beside it."""
        trainer.remove_checkpoint(filepath)

    def _drop(self, trainer: TrainerView, path: str, successor: str) -> None:
        if not path or path == successor or not may_remove(path, self.dirpath or "", trainer.ckpt_path):
            return
        last = self.last_model_path
        if trainer.is_global_zero and _files.leads_to(last, path):  # a kill at any moment leaves a link to a checkpoint
            _files.link(successor, last)
        self._remove_checkpoint(trainer, path)

    def _tell(self, trainer: TrainerView, what: str) -> None:
        if self.verbose:
            rank_zero_info(f"Epoch {trainer.current_epoch}, step {trainer.global_step}: {what}.")
