"""Counters in the layout of Lightning's checkpoints: theirs can be continued here, and ours there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fulmen_core.loop import Counter, FitProgress, Phase


def loops_of(progress: FitProgress, *, manual: bool) -> dict[str, Any]:
    """Return the `loops` entry of a checkpoint."""
    batches, before = progress.batches, progress.batches_before
    total = Counter(*(before + count for count in _counts(batches)))
    steps, scheduler = progress.global_step, progress.scheduler_steps
    validation = Counter(*[sum(progress.validation_batches)] * 4)
    step_counts = {"total": _two(steps), "current": _two(steps)}
    return {
        "fit_loop": {
            "state_dict": {},
            "epoch_loop.state_dict": {"_batches_that_stepped": progress.stepped_batches},
            "epoch_loop.batch_progress": {
                "total": _four(total),
                "current": _four(batches),
                "is_last_batch": progress.is_last_batch,
            },
            "epoch_loop.scheduler_progress": {"total": _two(scheduler), "current": _two(scheduler)},
            "epoch_loop.automatic_optimization.state_dict": {},
            "epoch_loop.automatic_optimization.optim_progress": {
                "optimizer": {
                    "step": step_counts if not manual else {"total": _two(0), "current": _two(0)},
                    "zero_grad": {
                        "total": {**_two(steps), "started": steps},
                        "current": {**_two(steps), "started": steps},
                    },
                }
            },
            "epoch_loop.manual_optimization.state_dict": {},
            "epoch_loop.manual_optimization.optim_step_progress": (
                step_counts if manual else {"total": _two(0), "current": _two(0)}
            ),
            "epoch_loop.val_loop.state_dict": {},
            "epoch_loop.val_loop.batch_progress": {
                "total": _four(validation),
                "current": _four(Counter()),
                "is_last_batch": False,
            },
            "epoch_progress": {"total": _four(progress.epochs), "current": _four(progress.epochs)},
        },
        "validate_loop": {"state_dict": {}, "batch_progress": _unused(last=True)},
        "test_loop": {"state_dict": {}, "batch_progress": _unused(last=True)},
        "predict_loop": {"state_dict": {}, "batch_progress": _unused(last=False)},
    }


def progress_from(loops: Mapping[str, Any]) -> FitProgress:
    """Return the counters that a checkpoint of Lightning holds."""
    fit = loops["fit_loop"]
    epochs = _counter(fit["epoch_progress"]["current"])
    batch_state = fit["epoch_loop.batch_progress"]
    batches, total = _counter(batch_state["current"]), _counter(batch_state["total"])
    automatic, manual = _steps(fit)
    progress = FitProgress(
        epoch=epochs.completed,
        epochs=epochs,
        batches_before=total.processed,
        global_step=automatic + manual,
        # Their own count lags behind by one while a batch's end hooks run.
        stepped_batches=automatic or total.processed,
        scheduler_steps=fit["epoch_loop.scheduler_progress"]["total"]["completed"],
        validation_batches=[fit["epoch_loop.val_loop.batch_progress"]["total"]["completed"]],
    )
    if epochs.completed < epochs.ready:
        progress.batches, progress.batches_before = batches, total.processed - batches.processed
        progress.is_last_batch = bool(batch_state.get("is_last_batch"))
        progress.phase = _phase(epochs, batches)
        progress.leave_batch()
        if progress.phase is Phase.VALIDATED:
            batches.completed -= 1
    return progress


def _phase(epochs: Counter, batches: Counter) -> Phase:
    """Return in which hooks the file was written, as far as the counters tell."""
    if epochs.processed > epochs.completed:
        return Phase.EPOCH_ENDED
    if not batches.processed or batches.ready > batches.processed:
        return Phase.IN_EPOCH
    return Phase.BATCH_ENDED if batches.completed < batches.processed else Phase.VALIDATED


def _steps(fit: Mapping[str, Any]) -> tuple[int, int]:
    """Return the steps made under automatic and under manual optimisation."""
    automatic = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    manual = fit["epoch_loop.manual_optimization.optim_step_progress"]["total"]["completed"]
    return int(automatic), int(manual)


def _counts(counter: Counter) -> tuple[int, int, int, int]:
    return counter.ready, counter.started, counter.processed, counter.completed


def _counter(counts: Mapping[str, int]) -> Counter:
    return Counter(counts["ready"], counts["started"], counts["processed"], counts["completed"])


def _four(counter: Counter) -> dict[str, int]:
    ready, started, processed, completed = _counts(counter)
    return {"ready": ready, "completed": completed, "started": started, "processed": processed}


def _two(count: int) -> dict[str, int]:
    return {"ready": count, "completed": count}


def _unused(*, last: bool) -> dict[str, Any]:
    state: dict[str, Any] = {"total": _four(Counter()), "current": _four(Counter())}
    return {**state, "is_last_batch": False} if last else state
