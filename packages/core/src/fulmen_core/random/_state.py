"""The global random generators of a process: Python's, NumPy's, torch's and those of its devices.

States are plain values and tensors: they survive `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from fulmen_core.random._plain import from_plain, same, to_plain
from fulmen_interfaces import Accelerator, SupportsRandomState


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The states of the host's global generators at one moment, as their libraries return them."""

    python: tuple[Any, ...]
    torch: torch.Tensor
    numpy: Mapping[str, Any] | None
    """None where nothing had imported `numpy.random`, and therefore nothing can have drawn from it."""

    @classmethod
    def take(cls) -> Snapshot:
        """Return the states of now."""
        numpy_random = sys.modules.get("numpy.random")
        numpy = None if numpy_random is None else numpy_random.get_state(legacy=False)
        return cls(random.getstate(), torch.get_rng_state(), numpy)

    def restore(self) -> None:
        """Put the generators into these states."""
        random.setstate(self.python)
        torch.set_rng_state(self.torch)
        if self.numpy is not None:
            import numpy

            numpy.random.set_state(dict(self.numpy))

    def take_over(self) -> None:
        """Let a new process draw what the one that took this would have drawn; devices are seeded as it was."""
        self.restore()
        torch.manual_seed(torch.initial_seed())  # also those of devices
        self.restore()

    def plain(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        return {"python": self.python, "torch": self.torch, "numpy": to_plain(self.numpy)}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Snapshot:
        """Return what `plain` was called on."""
        version, words, gauss = state["python"]
        numpy = from_plain(state.get("numpy")) if find_spec("numpy") else None
        return cls((version, tuple(words), gauss), state["torch"].cpu(), numpy)

    def same_as(self, other: Snapshot) -> bool:
        """Whether nobody drew a number between the two."""
        return self.python == other.python and torch.equal(self.torch, other.torch) and same(self.numpy, other.numpy)


class RandomStates:
    """All global generators that a run draws from, also those of its accelerator's devices."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._devices = accelerator if isinstance(accelerator, SupportsRandomState) else None

    def capture(self) -> dict[str, Any]:
        """Return the states of now. Waits for the devices, so call it where a checkpoint is made."""
        state = Snapshot.take().plain()
        if self._devices is not None:
            state["devices"] = dict(self._devices.random_state())
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put the generators into the states that `capture` returned; kinds absent on one side stay as they are."""
        Snapshot.from_plain(state).restore()
        if self._devices is not None and "devices" in state:
            self._devices.set_random_state(state["devices"])


def capture_random_state(accelerator: Accelerator | None = None) -> dict[str, Any]:
    """Return the states of Python's, NumPy's (where imported), torch's and the devices' global generators."""
    return RandomStates(accelerator).capture()


def restore_random_state(state: Mapping[str, Any], accelerator: Accelerator | None = None) -> None:
    """Put the global generators into the states that `capture_random_state` returned."""
    RandomStates(accelerator).restore(state)
