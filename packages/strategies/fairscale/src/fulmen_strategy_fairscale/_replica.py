"""FairScale's wrapper, so that a step may compute gradients itself, several times, and parameters may change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, final

from fairscale.nn.data_parallel.sharded_ddp import ShardedDataParallel
from torch import Tensor, nn
from torch.nn import Parameter
from torch.utils.hooks import RemovableHandle

from fulmen_strategy_fairscale._optimizer import ShardedOptimizer


@final
class ShardedReplica(ShardedDataParallel):  # type: ignore[misc]  # FairScale has no types
    """One rank's copy of the model, called to train: each gradient is averaged where its parameter is stepped.

    FairScale's gradient buffers are not used: they take part only in gradients that are cleared by zeros.
    """

    def __init__(self, entry: nn.Module, optimizers: Sequence[ShardedOptimizer], *, broadcast_buffers: bool) -> None:
        self.steps = 0
        """How often it was called to train."""
        self._averaged: set[Parameter] = set()
        self._watched: dict[Parameter, RemovableHandle] = {}
        super().__init__(
            entry,
            list(optimizers),
            broadcast_buffers=broadcast_buffers,
            sync_models_at_startup=False,
            reduce_buffer_size=0,
            auto_refresh_trainable=False,
        )
        self.refresh_trainable()

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run a step."""
        self.steps += 1
        known = self._trainable_param_to_rank
        if any(one.requires_grad and one not in known for one in self._stepped_parameters()):
            self.refresh_trainable()
        return super().forward(*inputs, **kwargs)

    @property
    def synchronises(self) -> bool:
        """Whether gradients travel at this moment."""
        return not self._should_accumulate_grads

    def refresh_trainable(self) -> None:
        """Look again at which parameters are trained. What is only frozen for a while needs no second look."""
        self._all_params = self._stepped_parameters()
        self._grad_to_be_reduced: list[bool] = []
        super().refresh_trainable()
        for parameter in self._trainable_params:
            if parameter not in self._watched:
                hook = partial(self._before_accumulation, parameter)
                self._watched[parameter] = parameter.register_hook(hook)

    def before_backward(self, loss: Tensor) -> None:
        """Take note of a loss whose gradients are about to be computed: they are to be averaged, too."""
        if self.synchronises:
            self._clear_counters()

    def release(self) -> None:
        """Take all hooks off the parameters."""
        for handle in [*self._grad_hooks, *self._watched.values()]:
            handle.remove()
        self._watched.clear()

    def _stepped_parameters(self) -> list[Parameter]:
        return [one for optimizer in self._sharded_optimizers for one in optimizer.parameters()]

    def _before_accumulation(self, parameter: Parameter, _: Tensor) -> None:
        """Where an average is added to, make it count as often as it will be divided.

        Only the rank that steps a parameter has its average; the other ranks' gradients began anew.
        """
        if parameter in self._averaged and parameter.grad is not None:
            parameter.grad.div_(self._world_size_scaling)
        if self.synchronises:
            self._averaged.add(parameter)
        else:
            self._averaged.discard(parameter)
