"""Going on from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from torch.optim import Optimizer

from fulmen_core.checkpoint import StoredOptimizer, StoredState
from fulmen_core.logging import restore_metric_states, restore_training_records
from fulmen_core.loop import Counter, Engine, Fit, FitProgress, Phase, RunParts
from fulmen_core.random import RandomStates
from fulmen_core.snapshot._buffers import put_buffers
from fulmen_core.snapshot._elastic import go_on_elsewhere
from fulmen_core.snapshot._gradients import put_back, warn_of_lost_window
from fulmen_core.snapshot._keys import FORMAT_VERSION, OWN_KEY, SCALER_KEY
from fulmen_core.snapshot._lightning_loops import progress_from
from fulmen_interfaces import (
    CallbackOrder,
    CheckpointError,
    PreparedModel,
    Stage,
    SupportsShardedCheckpoint,
    rank_zero_info,
    rank_zero_warn,
)


def restore_callbacks(parts: RunParts, checkpoint: dict[str, Any]) -> None:
    """Show the checkpoint to the callbacks, which may change it, and hand each its state.

    In an evaluation, those that watch or save a fit keep what they know of it.
    """
    fitting = parts.stage is Stage.FIT
    for callback in parts.callbacks:
        callback.on_load_checkpoint(parts.trainer, parts.module, checkpoint)
    states = checkpoint.get("callbacks") or {}
    for callback in parts.callbacks:
        if callback.state_key in states and (fitting or callback.order < CallbackOrder.MONITOR):
            callback.load_state_dict(states[callback.state_key])
    unknown = set(states) - {callback.state_key for callback in parts.callbacks}
    if unknown and fitting:
        rank_zero_warn(
            f"The checkpoint holds states of callbacks that this run does not have: {', '.join(sorted(unknown))}. "
            "They are left out. Pass the same callbacks to go on with them."
        )


def restore_datamodule(parts: RunParts, checkpoint: Mapping[str, Any]) -> None:
    """Hand the data module its state."""
    if parts.datamodule is None:
        return
    state = checkpoint.get(type(parts.datamodule).__qualname__)
    if state is not None:
        parts.datamodule.load_state_dict(state)


def restore_weights(engine: Engine, checkpoint: Mapping[str, Any], path: str) -> None:
    """Load the module's weights. Raises CheckpointError where they do not fit."""
    module = type(engine.module).__name__
    if "state_dict" not in checkpoint:
        raise CheckpointError(
            f"The weights of {module} were to be loaded from {path}, but it has no `state_dict`, only "
            f"{', '.join(map(str, checkpoint)) or 'nothing'}. Give a file that `trainer.save_checkpoint` wrote.",
            path,
        )
    prepared, state, strict = engine.prepared, checkpoint["state_dict"], engine.module.strict_loading
    try:
        load_weights(prepared, state, strict=strict)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path} do not fit {module}: {_reason(error)}. Make the module as it was when the file was "
            "written, or set its `strict_loading` to False where only names differ.",
            path,
        ) from error


def restore_optimizers(engine: Engine, checkpoint: Mapping[str, Any], path: str) -> None:
    """Load the states of optimizers, schedulers and loss scaler. Raises CheckpointError where they do not fit."""
    if "optimizer_states" not in checkpoint:
        raise CheckpointError(
            f"{path} holds weights only, so training cannot go on from it. Load them with "
            "`load_from_checkpoint` and fit anew, or give a checkpoint that was saved without `save_weights_only`.",
            path,
        )
    prepared = engine.prepared
    states, optimizers = checkpoint["optimizer_states"], prepared.optimizers
    schedulers, configs = checkpoint.get("lr_schedulers", []), engine.scheduler_configs
    _check_number(path, "optimizers", len(states), len(optimizers))
    _check_number(path, "schedulers", len(schedulers), len(configs))
    for number, (optimizer, state) in enumerate(zip(optimizers, states, strict=True)):
        with _fits(f"The state of optimizer {number} ({type(optimizer).__name__})", path):
            load_optimizer(prepared, optimizer, state)
    for number, (config, state) in enumerate(zip(configs, schedulers, strict=True)):
        with _fits(f"The state of scheduler {number} ({type(config.scheduler).__name__})", path):
            config.scheduler.load_state_dict(state)
    prepared.load_scaler_state_dict(checkpoint.get(SCALER_KEY, {}))


def load_weights(prepared: PreparedModel, state: Mapping[str, Any], *, strict: bool) -> None:
    """Load a module's state, from a file or from a directory."""
    if not isinstance(state, StoredState):
        prepared.load_model_state_dict(state, strict=strict)
    elif isinstance(prepared, SupportsShardedCheckpoint):
        prepared.load_sharded_model_state(state, strict=strict)
    else:
        prepared.load_model_state_dict(state.whole(), strict=strict)


def load_optimizer(prepared: PreparedModel, optimizer: Optimizer, state: Mapping[str, Any] | StoredOptimizer) -> None:
    """Load an optimizer's state, from a file or from a directory."""
    if not isinstance(state, StoredOptimizer):
        prepared.load_optimizer_state_dict(optimizer, state)
    elif isinstance(prepared, SupportsShardedCheckpoint):
        prepared.load_sharded_optimizer_state(optimizer, state)
    else:
        prepared.load_optimizer_state_dict(optimizer, state.whole())


def _check_number(path: str, what: str, saved: int, made: int) -> None:
    if saved != made:
        raise CheckpointError(
            f"{path} holds states of {saved} {what}, but `configure_optimizers` returned {made}. "
            f"Return the same {what} as when it was saved.",
            path,
        )


@contextmanager
def _fits(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{what} in {path} does not fit: {_reason(error)}. Return from `configure_optimizers` what it returned "
            "when the file was written, over the same parameters in the same groups.",
            path,
        ) from error


def _reason(error: Exception) -> str:
    """Return what torch says, in one line."""
    return " ".join(str(error).split()).rstrip(".")


def restore_progress(engine: Engine, checkpoint: Mapping[str, Any], path: str) -> None:
    """Set the counters, and keep what is put back later. Raises CheckpointError where there are none."""
    own = checkpoint.get(OWN_KEY)
    if own is None and "loops" not in checkpoint:
        raise CheckpointError(
            f"{path} does not say how far training had come: it has neither `loops` nor `{OWN_KEY}`. "
            "Give a file that `trainer.save_checkpoint` wrote, or load its weights with `load_from_checkpoint`.",
            path,
        )
    progress = progress_from(checkpoint["loops"]) if own is None else _own_progress(own, path)
    vars(engine.progress).update(vars(progress))
    engine.resumed_from = own


def _own_progress(own: Mapping[str, Any], path: str) -> FitProgress:
    if own["format"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {own['format']}, but this version reads formats up to {FORMAT_VERSION}. "
            "Upgrade fulmen-core.",
            path,
        )
    saved = dict(own["progress"])
    known = {field.name for field in fields(FitProgress)}
    values = {name: value for name, value in saved.items() if name in known}
    for name in ("epochs", "batches"):
        values[name] = Counter(**saved[name])
    progress = FitProgress(**{**values, "phase": Phase(saved["phase"])})
    progress.leave_batch()
    return progress


def restore_position(engine: Engine, fit: Fit, checkpoint: Mapping[str, Any]) -> None:
    """Let the fit go on where it was: data and results at once, the rest when `on_train_start` is over."""
    own = checkpoint.get(OWN_KEY)
    if own is None:
        _position_by_counting(fit)
        return
    fit.window.load_state_dict(own["window"])
    engine.results.load_state_dict(own["results"])
    ranks = own["ranks"]
    if len(ranks) != engine.world.size:
        go_on_elsewhere(engine, fit, own)
        fit.put_back = partial(_put_back_elsewhere, engine, fit, own)
        return
    mine = ranks[engine.world.rank]
    fit.cursor.load_state_dict(mine["data"])
    if fit.validation is not None and mine["validation"] is not None:
        fit.validation.load_state_dict(mine["validation"])
    fit.put_back = partial(_put_back, engine, fit, own, mine)


def _put_back(engine: Engine, fit: Fit, own: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Put back what the hooks up to `on_train_start`, which ran again, may have changed."""
    module = engine.module
    restore_training_records(engine.recorder, module, mine["records"], device=engine.device)
    restore_metric_states(module, mine["metrics"])
    _put_back_shared(engine, fit, own)
    _put_back_gradients(engine, fit, own, engine.world.rank)
    put_buffers(module, mine.get("buffers", {}))
    RandomStates(engine.accelerator).restore(mine["data"]["random"])


def _put_back_elsewhere(engine: Engine, fit: Fit, own: Mapping[str, Any]) -> None:
    """Likewise, where the number of processes is another."""
    _put_back_shared(engine, fit, own)
    _put_back_gradients(engine, fit, own, None)


def _put_back_gradients(engine: Engine, fit: Fit, own: Mapping[str, Any], rank: int | None) -> None:
    ranks, reduced = [one["gradients"] for one in own["ranks"]], own.get("gradients_are_reduced", False)
    there = put_back(engine.prepared, engine.module, ranks, reduced=reduced, rank=rank)
    if fit.progress.window_filled and not there:
        warn_of_lost_window()


def _put_back_shared(engine: Engine, fit: Fit, own: Mapping[str, Any]) -> None:
    if fit.switches is not None and own["switches"]:
        fit.switches.turn(engine.module, own["switches"])
    engine.resumed_from = None
    if own["should_stop"]:
        engine.control.should_stop = True
        rank_zero_info(
            "The checkpoint was written when training had been asked to stop, as early stopping does: it ends here, "
            "too. To train on, resume from an earlier checkpoint, or take the weights and fit anew."
        )


def _position_by_counting(fit: Fit) -> None:
    """Go on from a file of Lightning, which holds counters alone."""
    fit.schedulers.metrics_are_lost = True
    if fit.progress.phase not in (Phase.BETWEEN_EPOCHS, Phase.EPOCH_ENDED):
        fit.cursor.skip(fit.progress.batches.processed)
