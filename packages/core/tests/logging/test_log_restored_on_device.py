"""What was logged before a checkpoint goes on where the run's further values lie, wherever the file was read to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from fulmen_core.logging import Recorder, restore_training_records, training_records_state
from fulmen_interfaces import Hook

DEVICE = torch.device("meta")
"""It has no values, but does not mix with those of the host."""


def log(recorder: Recorder, reduce_fx: str) -> None:
    recorder.scope = recorder.scope_of(Hook.TRAINING_STEP, recorder.training)
    value = torch.ones((), device=DEVICE)
    recorder.log("loss", value, False, None, True, True, reduce_fx, False, False, None, True, 4, None, False)


def read_back(state: Any) -> Any:
    """Return the state as a file gives it that was read to the host."""
    if isinstance(state, torch.Tensor):
        return torch.ones(())
    if isinstance(state, Mapping):
        return {name: read_back(part) for name, part in state.items()}
    return [read_back(part) for part in state] if isinstance(state, list) else state


@pytest.mark.parametrize("reduce_fx", ["mean", "sum", "min", "max"])
@pytest.mark.parametrize("before", [3, 70])
def test_values_before_and_after_are_folded_on_the_device(reduce_fx: str, before: int) -> None:
    first, second, module = Recorder(), Recorder(), nn.Module()
    for _ in range(before):
        log(first, reduce_fx)
    states = read_back(training_records_state(first, module))

    restore_training_records(second, module, states, device=DEVICE)
    for _ in range(3):
        log(second, reduce_fx)

    [record] = second.training.records
    value = record.take_epoch_value()
    assert isinstance(value, torch.Tensor)
    assert value.device == DEVICE
