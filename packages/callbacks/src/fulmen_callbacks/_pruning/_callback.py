"""The callback that prunes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from fulmen_callbacks._averaging import StochasticWeightAveraging, WeightAveraging
from fulmen_callbacks._problems import one_of, refuse
from fulmen_callbacks._pruning._targets import (
    PruningMethod,
    Target,
    check_targets,
    copies_of,
    find_targets,
    rewind,
    sparsity,
    take_from_rank_zero,
)
from fulmen_interfaces import Callback, ModuleView, Problem, RunningStage, TrainerView, rank_zero_info

_KEY = "pruning"


class ModelPruning(Callback):
    """Set weights to zero at the end of every epoch, with the methods of `torch.nn.utils.prune`.

    `pruning_fn` is "l1_unstructured", "random_unstructured", "ln_structured" (with `pruning_dim` and `pruning_norm`),
    "random_structured" (with `pruning_dim`), or a `BasePruningMethod`. `amount` is the share (float) or number (int) of
    what is left; it, `apply_pruning` and `use_lottery_ticket_hypothesis` may be functions of the epoch. With the
    lottery-ticket hypothesis the weights that are left go back to their first values, or to new random ones with
    `resample_parameters`, when the next batch is trained: checkpoints, and the end of training, have what was trained.

    Pruned are `parameters_to_prune`, pairs of a layer and a parameter's name, or all parameters called as in
    `parameter_names` ("weight" and "bias"); `filter_parameters_to_prune` may be overridden to leave some out. With
    `make_pruning_permanent` checkpoints hold the pruned weights under their own names, and the module does when
    training ends. Masks and first values are in checkpoints too: a resumed run goes on as it would have. `verbose` is 1
    for the sparsity of the model and 2 for that of each layer.

    Of callbacks that average weights, StochasticWeightAveraging goes with it, listed before it.
    """

    PARAMETER_NAMES: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(  # noqa: PLR0913 (the arguments that users know)
        self,
        pruning_fn: str | type[prune.BasePruningMethod],
        parameters_to_prune: Sequence[Target] = (),
        parameter_names: Sequence[str] | None = None,
        use_global_unstructured: bool = True,
        amount: float | Callable[[int], float] = 0.5,
        apply_pruning: bool | Callable[[int], bool] = True,
        make_pruning_permanent: bool = True,
        use_lottery_ticket_hypothesis: bool | Callable[[int], bool] = True,
        resample_parameters: bool = False,
        pruning_dim: int | None = None,
        pruning_norm: float | None = None,
        verbose: int = 0,
        prune_on_train_epoch_end: bool = True,
    ) -> None:
        refuse([one_of("verbose", verbose, (0, 1, 2))])
        self._method = PruningMethod.of(
            pruning_fn, everywhere=use_global_unstructured, dim=pruning_dim, norm=pruning_norm
        )
        self._parameters_to_prune = tuple(parameters_to_prune)
        self._parameter_names = tuple(parameter_names or self.PARAMETER_NAMES)
        self.amount = amount
        self._apply_pruning = apply_pruning
        self._make_pruning_permanent = make_pruning_permanent
        self._use_lottery_ticket_hypothesis = use_lottery_ticket_hypothesis
        self._resample_parameters = resample_parameters
        self._verbose = verbose
        self._prune_on_train_epoch_end = prune_on_train_epoch_end
        self._targets: list[Target] = []
        self._names: list[str] = []
        self._initial: list[Tensor] = []
        self._copies: list[nn.Module] | None = None
        self._loaded: dict[str, Any] = {}
        self._rewinds = False
        """Whether what is left goes back to its first values with the next batch."""

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._targets, self._loaded, self._rewinds = [], {}, False
        if stage != "fit":
            return
        refuse(self._wrong_company(trainer.callbacks))
        module = cast("nn.Module", pl_module)
        candidates = list(self._parameters_to_prune) or find_targets(module, self._parameter_names)
        self._targets = list(self.filter_parameters_to_prune(candidates))
        check_targets(self._targets, module)
        names = {id(layer): name for name, layer in module.named_modules()}
        self._names = [f"{names[id(layer)]}.{name}" for layer, name in self._targets]
        if self._use_lottery_ticket_hypothesis:
            self._initial = [getattr(layer, name).detach().clone() for layer, name in self._targets]
            self._copies = copies_of(self._targets) if self._resample_parameters else None

    def on_load_checkpoint(self, trainer: TrainerView, pl_module: ModuleView, checkpoint: dict[str, Any]) -> None:
        if self._targets:
            self._loaded = checkpoint.get(_KEY, {})

    def on_fit_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        """Put masks and weights of a checkpoint back: its state holds the product of both."""
        with torch.no_grad():
            for (layer, name), full_name in zip(self._targets, self._names, strict=True):
                parameter = layer._parameters.get(name)
                if full_name in self._loaded.get("masks", {}) and parameter is not None:
                    parameter.copy_(self._loaded["weights"][full_name])
                    mask = self._loaded["masks"][full_name].to(parameter)
                    prune.custom_from_mask(layer, name, mask)  # type: ignore[no-untyped-call]
        if self._loaded.get("initial"):
            self._initial = [self._loaded["initial"][name] for name in self._names]
        self._rewinds = self._loaded.get("rewinds", False)
        self._loaded = {}

    def on_train_batch_start(self, trainer: TrainerView, pl_module: ModuleView, batch: Any, batch_idx: int) -> None:
        if self._rewinds:
            self._rewinds = False
            self.apply_lottery_ticket_hypothesis()
            self._agree(trainer)

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._prune_on_train_epoch_end:
            self._run(trainer)

    def on_validation_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if not self._prune_on_train_epoch_end and trainer.running_stage is not RunningStage.SANITY_CHECKING:
            self._run(trainer)

    def on_train_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._make_pruning_permanent:
            self.make_pruning_permanent(cast("nn.Module", pl_module))

    def on_save_checkpoint(self, trainer: TrainerView, pl_module: ModuleView, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        masked = [name for name in self._names if f"{name}_mask" in state]
        if not masked:
            return
        checkpoint[_KEY] = {
            "masks": {name: state[f"{name}_mask"].bool() for name in masked},
            "weights": {name: state[f"{name}_orig"] for name in masked},
            "initial": dict(zip(self._names, self._initial, strict=False)),
            "rewinds": self._rewinds,
        }
        if self._make_pruning_permanent:
            masks = {f"{name}_mask" for name in masked}
            checkpoint["state_dict"] = {
                name.removesuffix("_orig") if name.removesuffix("_orig") in masked else name: _masked(name, state)
                for name in state
                if name not in masks
            }

    def filter_parameters_to_prune(self, parameters_to_prune: Sequence[Target] = ()) -> Sequence[Target]:
        """Return the pairs of layer and parameter that are pruned, of those found; override it to leave some out."""
        return parameters_to_prune

    def apply_pruning(self, amount: float) -> None:
        """Prune a share (float) or number (int) of what is left."""
        self._method.apply(self._targets, amount)

    def apply_lottery_ticket_hypothesis(self) -> None:
        """Set what is left back to its first values, or to new ones with `resample_parameters`."""
        rewind(self._targets, self._initial, self._copies)

    def make_pruning_permanent(self, module: nn.Module) -> None:
        """Forget the masks of the module's layers: pruned weights are zero from now on, and can be trained again."""
        layers = set(module.modules())
        for layer, name in self._targets:
            if layer in layers and f"{name}_mask" in layer._buffers:
                prune.remove(layer, name)  # type: ignore[no-untyped-call]

    def _wrong_company(self, callbacks: Sequence[Callback]) -> Iterator[Problem]:
        """Yield problems with callbacks by which zeros would be lost."""
        for one in callbacks:
            if isinstance(one, WeightAveraging):
                reason = "It keeps averages under the names of weights, which pruning changes."
                remedy = f"Use StochasticWeightAveraging, or leave out {type(self).__name__}."
                yield Problem("callbacks", type(one).__name__, reason, remedy)
        position = callbacks.index(self) if self in callbacks else len(callbacks)
        for one in callbacks[position:]:
            if isinstance(one, StochasticWeightAveraging):
                reason = f"It gives the module its average after {type(self).__name__} has made zeros permanent."
                yield Problem("callbacks", type(one).__name__, reason, f"List it before {type(self).__name__}.")

    def _run(self, trainer: TrainerView) -> None:
        epoch = trainer.current_epoch
        amount = self.amount(epoch) if callable(self.amount) else self.amount
        wanted = self._apply_pruning(epoch) if callable(self._apply_pruning) else self._apply_pruning
        if not self._targets or not wanted or not amount:
            return
        self.apply_pruning(amount)
        lottery = self._use_lottery_ticket_hypothesis
        self._rewinds = lottery(epoch) if callable(lottery) else lottery
        self._agree(trainer)
        self._tell(amount)

    def _agree(self, trainer: TrainerView) -> None:
        if trainer.world.size > 1:
            take_from_rank_zero(self._targets, trainer.collectives)

    def _tell(self, amount: float) -> None:
        if not self._verbose:
            return
        counts = [sparsity(layer, name) for layer, name in self._targets]
        pruned, total = sum(zeros for zeros, _ in counts), sum(all_of_it for _, all_of_it in counts)
        rank_zero_info(
            f"Pruned {amount} of what was left: {pruned} of {total} weights ({pruned / total:.2%}) are zero."
        )
        if self._verbose > 1:
            for name, (zeros, all_of_it) in zip(self._names, counts, strict=True):
                rank_zero_info(f"  {name}: {zeros} of {all_of_it} ({zeros / all_of_it:.2%})")


def _masked(name: str, state: dict[str, Tensor]) -> Tensor:
    mask = state.get(f"{name.removesuffix('_orig')}_mask") if name.endswith("_orig") else None
    return state[name] if mask is None else state[name] * mask.to(state[name].dtype)
