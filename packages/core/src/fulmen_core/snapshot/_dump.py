"""Putting a checkpoint together: Lightning's keys, and under `fulmen` everything else that decides the next step."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fulmen_core.hparams import DATAMODULE_KEYS, MODULE_KEYS, dump_hyperparameters
from fulmen_core.logging import training_records_state
from fulmen_core.loop import Engine, Fit, Phase, Standing
from fulmen_core.snapshot._buffers import own_buffers
from fulmen_core.snapshot._elastic import read_per_step
from fulmen_core.snapshot._gradients import are_reduced, parts_of
from fulmen_core.snapshot._keys import FORMAT_VERSION, LIGHTNING_VERSION, OWN_KEY, SCALER_KEY, VERSION_KEY
from fulmen_core.snapshot._lightning_loops import loops_of
from fulmen_core.snapshot._plain_numbers import plain_numbers
from fulmen_interfaces import Hook, PreparedModel, StateDictType, SupportsShardedCheckpoint

if TYPE_CHECKING:
    from torch import Tensor


def dump(engine: Engine, fit: Fit | None, *, weights_only: bool) -> dict[str, Any]:
    """Return a checkpoint of the run as it stands. Call it on every rank; the result is whole on rank zero.

    With `weights_only` it holds what inference needs, and no states of optimizers, schedulers, callbacks or data. Where
    a directory is to be written, weights and states of optimizers are what this rank has of them.
    """
    progress, prepared = engine.progress, sharded(engine.prepared)
    checkpoint: dict[str, Any] = {
        "epoch": progress.epoch,
        "global_step": progress.global_step,
        VERSION_KEY: LIGHTNING_VERSION,
        "state_dict": engine.prepared.model_state_dict() if prepared is None else prepared.sharded_model_state(),
        "loops": loops_of(progress, manual=not engine.module.automatic_optimization),
    }
    if not weights_only:
        checkpoint["callbacks"] = {
            callback.state_key: state for callback in engine.callbacks if (state := callback.state_dict())
        }
        checkpoint |= _training_states(engine, fit)
    checkpoint |= dump_hyperparameters(engine.module, MODULE_KEYS)
    checkpoint |= dump_hyperparameters(engine.datamodule, DATAMODULE_KEYS)
    if engine.datamodule is not None:
        state = engine.datamodule.state_dict()
        if state:
            checkpoint[type(engine.datamodule).__qualname__] = state
    if not weights_only:
        for callback in engine.callbacks:
            callback.on_save_checkpoint(engine.trainer, engine.module, checkpoint)
    engine.module.on_save_checkpoint(checkpoint)
    plain: dict[str, Any] = plain_numbers(checkpoint)
    return plain


def sharded(prepared: PreparedModel) -> SupportsShardedCheckpoint | None:
    """Return the prepared model where its checkpoints are to be directories, else None."""
    if isinstance(prepared, SupportsShardedCheckpoint) and prepared.state_dict_type is StateDictType.SHARDED:
        return prepared
    return None


def _training_states(engine: Engine, fit: Fit | None) -> dict[str, Any]:
    prepared, parted = engine.prepared, sharded(engine.prepared)
    state_of = prepared.optimizer_state_dict if parted is None else parted.sharded_optimizer_state
    states: dict[str, Any] = {
        "optimizer_states": [state_of(one) for one in prepared.optimizers],
        "lr_schedulers": [config.scheduler.state_dict() for config in engine.scheduler_configs],
    }
    scaler = prepared.scaler_state_dict()
    if scaler:
        states[SCALER_KEY] = scaler
    if engine.resumed_from is not None:
        states[OWN_KEY] = engine.resumed_from
    elif fit is not None:
        gradients = _gradients(engine)
        if parted is not None:  # each rank writes its own, and need not have all
            states["gradients"], gradients = gradients, {}
        states[OWN_KEY] = _own_states(engine, fit, gradients)
    return states


def _own_states(engine: Engine, fit: Fit, gradients: dict[str, Tensor]) -> dict[str, Any]:
    progress, standing, control = engine.progress, fit.standing(), engine.control
    over = progress.phase is Phase.BETWEEN_EPOCHS and control.stage is None  # who saves now wants to go on
    counters = asdict(progress)
    counters |= {"phase": progress.phase.value, "validation_batches": list(standing.validation_batches)}
    return {
        "format": FORMAT_VERSION,
        "progress": counters,
        "should_stop": (control.should_stop or control.asked) and not (over or control.for_now),
        "window": fit.window.state_dict(),
        "read_per_step": read_per_step(fit.cursor.loader, engine.world.size),
        "results": engine.results.state_dict(),
        "gradients_are_reduced": are_reduced(engine.prepared, engine.module),
        "switches": {} if fit.switches is None else standing.switches.since(fit.switches),
        "ranks": engine.collectives.gather_objects({**_rank_states(engine, fit, standing), "gradients": gradients}),
    }


def _rank_states(engine: Engine, fit: Fit, standing: Standing) -> dict[str, Any]:
    """Return what differs between ranks; the random states are part of the position in the data."""
    between = engine.progress.phase is Phase.BETWEEN_EPOCHS
    return {
        "data": {**fit.cursor.state_dict(), "random": standing.random},
        "validation": standing.validation,
        "records": [] if between else training_records_state(engine.recorder, engine.module),
        "metrics": standing.metrics,
        "buffers": {} if engine.shared is None else own_buffers(engine.module, engine.shared),
    }


def _gradients(engine: Engine) -> dict[str, Tensor]:
    """Return the gradients that later batches may add to: those of an open window, or where users clear them."""
    module = engine.module
    clears_itself = not module.automatic_optimization or engine.hooks.of_module(Hook.OPTIMIZER_ZERO_GRAD) is not None
    if not (engine.progress.window_filled or clears_itself):
        return {}
    return parts_of(engine.prepared, module)
