"""Going on from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from fulmen_core.logging import restore_training_records
from fulmen_core.loop import Counter, Engine, Fit, FitProgress, Phase, RunParts
from fulmen_core.snapshot._keys import FORMAT_VERSION, OWN_KEY, SCALER_KEY
from fulmen_core.snapshot._lightning_loops import progress_from
from fulmen_interfaces import CheckpointError, rank_zero_warn


def restore_callbacks(parts: RunParts, checkpoint: dict[str, Any]) -> None:
    """Show the checkpoint to the callbacks, which may change it, and hand each its state."""
    for callback in parts.callbacks:
        callback.on_load_checkpoint(parts.trainer, parts.module, checkpoint)
    states = checkpoint.get("callbacks") or {}
    for callback in parts.callbacks:
        if callback.state_key in states:
            callback.load_state_dict(states[callback.state_key])
    unknown = set(states) - {callback.state_key for callback in parts.callbacks}
    if unknown:
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


def restore_weights(engine: Engine, checkpoint: Mapping[str, Any]) -> None:
    """Load the module's weights."""
    engine.prepared.load_model_state_dict(checkpoint["state_dict"], strict=engine.module.strict_loading)


def restore_optimizers(engine: Engine, checkpoint: Mapping[str, Any], path: str) -> None:
    """Load the states of optimizers, schedulers and loss scaler."""
    if "optimizer_states" not in checkpoint:
        raise CheckpointError(
            f"{path} holds weights only, so training cannot go on from it. Load them with "
            "`load_from_checkpoint` and fit anew, or give a checkpoint that was saved without `save_weights_only`.",
            path,
        )
    states, optimizers = checkpoint["optimizer_states"], engine.prepared.optimizers
    if len(states) != len(optimizers):
        raise CheckpointError(
            f"{path} holds states of {len(states)} optimizers, but `configure_optimizers` returned {len(optimizers)}. "
            "Return the same optimizers as when it was saved.",
            path,
        )
    for optimizer, state in zip(optimizers, states, strict=True):
        engine.prepared.load_optimizer_state_dict(optimizer, state)
    for config, state in zip(engine.scheduler_configs, checkpoint.get("lr_schedulers", []), strict=False):
        config.scheduler.load_state_dict(state)
    engine.prepared.load_scaler_state_dict(checkpoint.get(SCALER_KEY, {}))


def read_progress(checkpoint: Mapping[str, Any]) -> FitProgress:
    """Return the counters."""
    own = checkpoint.get(OWN_KEY)
    if own is None:
        return progress_from(checkpoint["loops"])
    if own["format"] > FORMAT_VERSION:
        raise CheckpointError(
            f"The checkpoint has format {own['format']}, but this version reads formats up to {FORMAT_VERSION}. "
            "Upgrade fulmen-core."
        )
    saved = dict(own["progress"])
    known = {field.name for field in fields(FitProgress)}
    values = {name: value for name, value in saved.items() if name in known}
    for name in ("epochs", "batches"):
        values[name] = Counter(**saved[name])
    return FitProgress(**{**values, "phase": Phase(saved["phase"])})


def restore_position(engine: Engine, fit: Fit, checkpoint: Mapping[str, Any]) -> None:
    """Put data, metrics, the open accumulation window and random generators back where they were."""
    own = checkpoint.get(OWN_KEY)
    if own is None:
        _position_by_counting(fit)
        return
    fit.window.load_state_dict(own["window"])
    engine.results.load_state_dict(own["results"])
    ranks = own["ranks"]
    if len(ranks) != engine.world.size:
        rank_zero_warn(
            f"The checkpoint was written by {len(ranks)} processes and is continued by {engine.world.size}: "
            "weights and counters go on exactly, random numbers and the order of this epoch's data begin anew."
        )
        _position_by_counting(fit)
        return
    mine = ranks[engine.world.rank]
    restore_training_records(engine.recorder, engine.module, mine["records"])
    fit.cursor.load_state_dict(mine["data"])
    if fit.validation is not None and mine["validation"] is not None:
        fit.validation.load_state_dict(mine["validation"])
    parameters = dict(engine.module.named_parameters())
    for name, gradient in mine["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)


def _position_by_counting(fit: Fit) -> None:
    fit.cursor.skip(fit.progress.batches.processed)
