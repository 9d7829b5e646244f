"""A model that is ready: gradients as with any torch module, state put together from the ranks' shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.optim import Optimizer

from fulmen_distributed import PlainModel
from fulmen_interfaces import (
    GradientClipping,
    GradScaler,
    SavedOptimizer,
    SavedState,
    StateDictType,
)
from fulmen_strategy_fsdp._evaluation import EvaluationPass
from fulmen_strategy_fsdp._root import ShardedRoot
from fulmen_strategy_fsdp._state import sharded_optimizer_state, sharded_state, whole_state


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ShardedModel:
    """A model of which every rank holds a shard of each parameter, gradient and optimizer state."""

    plain: PlainModel
    """Does what sharding does not change."""
    root: ShardedRoot
    evaluation_module: EvaluationPass
    autocasts: bool
    """Whether steps run in the precision's context."""

    @property
    def training_module(self) -> nn.Module:
        """What is called to train."""
        return self.plain.training_module

    @property
    def forward_context(self) -> Callable[[], AbstractContextManager[Any]] | None:
        """Factory of the context in which a step runs, or None."""
        return self.plain.forward_context if self.autocasts else None

    @property
    def input_conversion(self) -> Callable[[Any], Any] | None:
        """What converts a batch's element types, or None."""
        return self.plain.input_conversion

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers, over the shards."""
        return self.plain.optimizers

    @property
    def scaler(self) -> GradScaler | None:
        """What scales the loss, if anything does. A gradient that is not finite on one rank is so for all."""
        return self.plain.scaler

    @property
    def state_dict_type(self) -> StateDictType:
        """Whether `save_checkpoint` writes a file or a directory."""
        return self.plain.state_dict_type

    def evaluating(self) -> AbstractContextManager[Any]:
        """Return the context around the batches of one loader: inside, ranks may have different numbers of them."""
        return self.evaluation_module.together()

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients and reduce them to the ranks' shards, also in the middle of a step."""
        self.plain.backward(loss, *args, **kwargs)
        self.root.after_backward()

    def no_sync(self) -> AbstractContextManager[Any]:
        """Return a context in which gradients are not reduced but wait, whole, on each rank."""
        return self.plain.no_sync()

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Make that optimizer's gradients the true ones."""
        self.plain.unscale_gradients(optimizer)

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> torch.Tensor | None:
        """Bound the optimizer's gradients, as they are over all ranks."""
        return self.plain.clip_gradients(optimizer, clipping)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step one optimizer over this rank's shards."""
        with self.root.shards_at_hand():
            return self.plain.step(optimizer, closure)

    def model_state_dict(self) -> dict[str, Any]:
        """Return the module's whole state; on ranks other than zero parameters have a shape only.

        In the middle of an accumulation window, gradients so far become shards, so that they can be saved, too.
        """
        self.root.reduce_waiting()
        with self.root.shards_at_hand():
            return whole_state(self.plain.model_state_dict())

    def load_model_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Load rank zero's whole state; where `strict`, names that are absent or too many raise RuntimeError."""
        with self.root.shards_at_hand():
            self.plain.load_model_state_dict(sharded_state(state, self.plain.module), strict=strict)

    def optimizer_state_dict(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's whole state, numbered as a plain optimizer's."""
        return whole_state(self.plain.optimizer_state_dict(optimizer))

    def load_optimizer_state_dict(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load rank zero's whole state."""
        self.plain.load_optimizer_state_dict(optimizer, sharded_optimizer_state(state, optimizer))

    def sharded_model_state(self) -> dict[str, Any]:
        """Return this rank's shards of the module's state."""
        self.root.reduce_waiting()
        with self.root.shards_at_hand():
            return self.plain.sharded_model_state()

    def load_sharded_model_state(self, saved: SavedState, *, strict: bool = True) -> None:
        """Load this rank's shards; where `strict`, names that are absent or too many raise RuntimeError."""
        with self.root.shards_at_hand():
            self.plain.load_sharded_model_state(saved, strict=strict)

    def sharded_optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return this rank's shards of the optimizer's state, by name."""
        with self.root.shards_at_hand():
            return self.plain.sharded_optimizer_state(optimizer)

    def load_sharded_optimizer_state(self, optimizer: Optimizer, saved: SavedOptimizer) -> None:
        """Load this rank's shards of the optimizer's state."""
        with self.root.shards_at_hand():
            self.plain.load_sharded_optimizer_state(optimizer, saved)

    def scaler_state_dict(self) -> dict[str, Any]:
        """Return the scaler's state; empty where there is none."""
        return self.plain.scaler_state_dict()

    def load_scaler_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the scaler's state."""
        self.plain.load_scaler_state_dict(state)
