"""A second set of a module's weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_swa_multi_avg_fn

from fulmen_callbacks._pieces import is_in_pieces, piece_of, whole
from fulmen_interfaces import Problem, SupportsStrategy, TrainerView

AverageOne = Callable[[Tensor, Tensor, Tensor | int], Tensor]
AverageMany = Callable[[list[Tensor], list[Tensor], Tensor | int], None]


@dataclass(frozen=True)
class AveragingRule:
    """How a new value is taken in; the mean of all values unless a function is given."""

    one: AverageOne | None = None
    many: AverageMany | None = None
    buffers: bool = True
    """Whether buffers are averaged too, rather than copied."""

    def averages(self, tensor: Tensor) -> bool:
        """Return whether such a value is averaged; if not it is copied, as all whole numbers are: they count."""
        is_wanted = self.buffers or isinstance(tensor, nn.Parameter)
        return is_wanted and (tensor.is_floating_point() or tensor.is_complex())

    def take_in(self, averages: list[Tensor], values: list[Tensor], count: int) -> None:
        """Change the averages, of `count` values so far, in place."""
        if self.one is not None:
            for average, value in zip(averages, values, strict=True):
                average.copy_(self.one(average, value, count))
            return
        many: AverageMany = self.many or get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
        for group in _by_kind(averages, values):
            many(*group, count)


class AveragedWeights:
    """The averages of parameters, or of buffers too, under their names; tied ones are held once.

    `named` are the tensors themselves, `module.state_dict(keep_vars=True)` or some of it: they are read and written.
    Of tensors that lie in pieces (DTensor) each rank averages its own; all ranks call `values` and `load` then.
    """

    def __init__(
        self,
        named: Mapping[str, Tensor],
        rule: AveragingRule,
        *,
        device: torch.device | str | int | None,
        count: int = 0,
    ) -> None:
        self.count = count
        """Values taken in so far."""
        self._rule = rule
        unique = {id(tensor): tensor for tensor in named.values()}
        self._live = list(unique.values())
        self._kept = [self._copy_of(tensor, device) for tensor in self._live]
        positions = {identity: position for position, identity in enumerate(unique)}
        self._position = {name: positions[id(tensor)] for name, tensor in named.items()}

    def values(self) -> dict[str, Tensor]:
        """Return the averages by name, whole (the weights themselves while they are swapped)."""
        values = [whole(tensor) for tensor in self._kept]
        return {name: values[position] for name, position in self._position.items()}

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Set the averages that are among these values."""
        for name, position in self._position.items():
            if name in values:
                kept = self._kept[position]
                piece_of(kept).copy_(piece_of(values[name], like=kept))

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights in; the first time they become the average."""
        if self.count == 0:
            self._copy(range(len(self._live)))
        else:
            averaged = [at for at, live in enumerate(self._live) if self._rule.averages(live)]
            live = [piece_of(self._live[at].detach()).to(self._kept[at].device) for at in averaged]
            self._rule.take_in([piece_of(self._kept[at]) for at in averaged], live, self.count)
            self._copy(set(range(len(self._live))).difference(averaged))
        self.count += 1

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and averages."""
        for live, kept in self._pieces():
            before = live.clone()
            live.copy_(kept)
            kept.copy_(before)

    @torch.no_grad()
    def give(self) -> None:
        """Set the weights to the averages."""
        for live, kept in self._pieces():
            live.copy_(kept)

    def _pieces(self) -> list[tuple[Tensor, Tensor]]:
        """Return weights and averages, of this rank where they lie in pieces."""
        pairs = zip(self._live, self._kept, strict=True)
        return [(piece_of(live.detach()), piece_of(kept)) for live, kept in pairs]

    def _copy(self, positions: range | set[int]) -> None:
        pieces = self._pieces()
        for at in positions:
            live, kept = pieces[at]
            kept.copy_(live)

    @staticmethod
    def _copy_of(tensor: Tensor, device: torch.device | str | int | None) -> Tensor:
        return tensor.detach().to(device, copy=True) if device is not None else tensor.detach().clone()


def _by_kind(averages: list[Tensor], values: list[Tensor]) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return them in groups of one device and type, as functions on many tensors need them."""
    groups: dict[tuple[torch.device, torch.dtype], tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for average, value in zip(averages, values, strict=True):
        group = groups[average.device, average.dtype]
        group[0].append(average)
        group[1].append(value)
    return list(groups.values())


def wrong_weights(
    module: nn.Module, trainer: TrainerView, who: str, device: torch.device | str | int | None
) -> list[Problem]:
    """Return a problem where the strategy's weights cannot be averaged, or not on that device."""
    if isinstance(trainer, SupportsStrategy) and not trainer.strategy.spec.writable_weights:
        reason = f"{trainer.strategy.spec.name} trains copies of the weights: what is written into the module is lost."
        return [Problem("callbacks", who, reason, 'Use another strategy, such as "ddp" or "fsdp", or leave it out.')]
    parted = next((one for one in module.parameters() if is_in_pieces(one)), None)
    if parted is None or device is None or torch.device(device).type == parted.device.type:
        return []
    reason = f"The strategy keeps weights in pieces on {parted.device.type}, and their averages lie beside them."
    return [Problem("device", device, reason, "Write device=None.")]
