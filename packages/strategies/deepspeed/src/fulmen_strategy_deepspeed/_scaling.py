"""DeepSpeed's loss scaler in the words of torch's, so that files fit other strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OWN = ("cur_iter", "last_overflow_iter", "cur_hysteresis")


def scaler_state(scaler: Any) -> dict[str, Any]:
    """Return the state of a scaler that adapts; empty for one that does not."""
    if not scaler.dynamic:
        return {}
    return {
        "scale": float(scaler.cur_scale),
        "growth_factor": scaler.scale_factor,
        "backoff_factor": 1 / scaler.scale_factor,
        "growth_interval": scaler.scale_window,
        "_growth_tracker": max(0, scaler.cur_iter - scaler.last_overflow_iter - 1) % scaler.scale_window,
        "deepspeed": {name: getattr(scaler, name) for name in _OWN},
    }


def load_scaler_state(scaler: Any, state: Mapping[str, Any]) -> None:
    """Take over the scale; where DeepSpeed wrote the state, also when it may change next."""
    if not (state and scaler.dynamic):
        return
    scaler.cur_scale = float(state["scale"])
    for name, value in state.get("deepspeed", {}).items():
        setattr(scaler, name, value)
