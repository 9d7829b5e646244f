"""Evaluation in which ranks have different numbers of batches although every pass gathers weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast, final

import torch
import torch.distributed as dist
from torch import nn

from fulmen_strategy_fsdp._root import ShardedRoot

_END = -1
"""Announced when a pass is over."""


@final
class EvaluationPass(nn.Module):
    """What is called to evaluate.

    Within `together`, the ranks say before each pass who has a batch. As long as all have one, nothing else happens.
    Afterwards the first that has one announces what it is about to gather, and those without a batch gather it, too.
    """

    def __init__(self, root: ShardedRoot, device: torch.device) -> None:
        super().__init__()
        self.root = root
        self._messages_on = torch.device("cpu") if "cpu:" in str(dist.get_backend_config()) else device
        self._together = False
        self._leader: int | None = None
        """The rank that announces, in a pass that some ranks have no batch for."""

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run a step. Weights gathered in inference mode could not be trained, so it is left meanwhile."""
        gradients = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(gradients):
            if not self._together:
                return self.root(*inputs, **kwargs)
            present = self._who_has_a_batch(True)
            self._leader = None if all(present) else present.index(True)
            outputs = self.root(*inputs, **kwargs)
            self._end_pass()
            return outputs

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside, every rank may run as many passes as it has batches. All ranks enter and leave it."""
        self.root.release()
        if dist.get_world_size() > 1:
            with self._announcing():
                yield
                self._accompany_the_others()
        else:
            yield
        self.root.release()

    @contextmanager
    def _announcing(self) -> Iterator[None]:
        modules = cast(tuple[nn.Module, ...], self.root.fsdp_modules)
        handles = [
            one.register_forward_pre_hook(partial(self._announce, number), prepend=True)
            for number, one in enumerate(modules)
        ]
        self._together = True
        try:
            yield
        finally:
            self._together, self._leader = False, None
            for handle in handles:
                handle.remove()

    def _accompany_the_others(self) -> None:
        with torch.inference_mode(False), torch.no_grad():
            while any(present := self._who_has_a_batch(False)):
                self._leader = present.index(True)
                while (number := self._heard(_END)) != _END:
                    self._gather_again(number)
                    self.root.fsdp_modules[number].unshard()
                self._release_all()

    def _end_pass(self) -> None:
        if self._leader is not None:
            self._heard(_END)
            self._release_all()
            self._leader = None

    def _announce(self, number: int, module: nn.Module, inputs: Any) -> None:
        """Say what is gathered next, and gather it in any case, so that all ranks do."""
        if self._leader is not None:
            self._heard(number)
            self._gather_again(number)

    def _gather_again(self, number: int) -> None:
        self.root.fsdp_modules[number].reshard()

    def _release_all(self) -> None:
        for one in self.root.fsdp_modules:
            one.reshard()

    def _heard(self, number: int) -> int:
        """Return what the leading rank says; on that rank, say it."""
        message = torch.tensor([number], device=self._messages_on)
        dist.broadcast(message, src=self._leader)
        return int(message[0])

    def _who_has_a_batch(self, here: bool) -> list[bool]:
        flags = [0] * dist.get_world_size()
        flags[dist.get_rank()] = int(here)
        message = torch.tensor(flags, device=self._messages_on)
        dist.all_reduce(message)
        return [bool(flag) for flag in message.tolist()]
