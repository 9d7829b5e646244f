"""A copy of the model per process; gradients and optimizer states in parts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, final

import torch
import torch.distributed as dist
from torch import nn

from fulmen_distributed import (
    DEFAULT_TIMEOUT,
    OnDevice,
    PlainModel,
    ProcessGroup,
    WeakList,
    copy_from_rank_zero,
    guarded,
    plain_model,
    state_dict_type_of,
    synchronise_batchnorm,
)
from fulmen_interfaces import (
    Collectives,
    ConfigurationError,
    Placement,
    PrepareRequest,
    Problem,
    StrategySpec,
)
from fulmen_strategy_fairscale._checks import check_optimizers

if TYPE_CHECKING:
    from fulmen_strategy_fairscale._optimizer import ShardedOptimizer
    from fulmen_strategy_fairscale._replica import ShardedReplica

StartMethod = Literal["popen", "spawn"]


@final
class DDPShardedStrategy:
    """Trains a copy of the model in every process; each process steps a part of the parameters.

    Gradients are averaged where they are needed, and an optimizer's state exists once in all processes together:
    FairScale's ShardedDataParallel and OSS.

    Args:
        process_group_backend: what carries messages between devices; None: what the accelerator names.
        timeout: how long a process waits for the others before the run fails.
        start_method: how processes are started where nobody has: popen (the script is run again) or spawn.
        find_unused_parameters: FairScale does not look for them; only False is possible.
        broadcast_buffers: give every process rank zero's buffers before each step.
        state_dict_type: what `save_checkpoint` writes: full (a file, by rank zero) or sharded (a directory, into
            which each rank writes its part).
    """

    def __init__(
        self,
        *,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        start_method: StartMethod = "popen",
        find_unused_parameters: bool = False,
        broadcast_buffers: bool = True,
        state_dict_type: Literal["full", "sharded"] = "full",
    ) -> None:
        _check_settings(start_method, find_unused_parameters)
        self._spec = _SPECS[start_method]
        self._group = ProcessGroup(backend=process_group_backend, timeout=timeout or DEFAULT_TIMEOUT)
        self._broadcast_buffers = broadcast_buffers
        self._state_dict_type = state_dict_type_of(state_dict_type)
        self._placed: WeakList[nn.Module] = WeakList()
        self._wrapped: WeakList[ShardedOptimizer | ShardedReplica] = WeakList()

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return self._spec

    @property
    def collectives(self) -> Collectives:
        """Those of the run's process group."""
        return self._group.collectives

    @property
    def root_device(self) -> torch.device:
        """The device of this process in the newest run; the host's before the first."""
        return self._group.device

    def start(self, placement: Placement) -> None:
        """Join the other processes."""
        self._group.join(placement)

    def prepare(self, request: PrepareRequest) -> PlainModel:
        """Convert, place and wrap the model and its optimizers. Every rank begins with the weights of rank zero.

        Raises ConfigurationError where an optimizer cannot be shared out.
        """
        device = self._group.placement.device
        if request.sync_batchnorm:
            synchronise_batchnorm(request.module, device.type)
        self._placed.append(request.entry)
        model = plain_model(request, device, state_dict_type=self._state_dict_type)
        copy_from_rank_zero([*request.entry.parameters(), *request.entry.buffers()])
        return self._shared_out(model) if model.optimizers else model

    def init_context(self, device: torch.device, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context that makes modules on the device; where `empty`, torch's initial values are not computed."""
        return OnDevice(device, empty=empty)

    def teardown(self) -> None:
        """Leave the other processes; modules return to the host."""
        self._group.leave()
        for one in self._wrapped:
            one.release()
        for module in self._placed:
            module.to("cpu")
        self._wrapped.clear()
        self._placed.clear()

    def _shared_out(self, model: PlainModel) -> PlainModel:
        # FairScale takes two seconds to import: only where it is used.
        from fulmen_strategy_fairscale._optimizer import ShardedOptimizer, clip_norm, whole_state
        from fulmen_strategy_fairscale._replica import ShardedReplica
        from fulmen_strategy_fairscale._scaling import agreed_scaler, any_rank_has_gradients

        check_optimizers(model.optimizers, strategy=self._spec.name, world_size=dist.get_world_size())
        shares = [ShardedOptimizer(one) for one in model.optimizers]
        replica = ShardedReplica(model.evaluation_module, shares, broadcast_buffers=self._broadcast_buffers)
        self._wrapped.append(replica)
        for share in shares:
            self._wrapped.append(share)
        before_backward = guarded(
            self._group.collectives,
            replica.before_backward,
            name="gradients",
            which=lambda: f"of step {replica.steps}",
            when=lambda: replica.synchronises,
            module=model.module,
        )
        return replace(
            model,
            training_module=replica,
            optimizers=shares,
            no_sync=replica.no_sync,
            before_backward=before_backward,
            scaler=agreed_scaler(model.scaler, model.device_type),
            has_gradients=any_rank_has_gradients,
            clip_norm=clip_norm,
            whole_optimizer_state=whole_state,
        )


def _check_settings(start_method: str, find_unused_parameters: bool) -> None:
    problems = []
    if start_method not in _SPECS:
        reason = "Processes are started by popen or spawn."
        problems.append(Problem("start_method", start_method, reason, "Write one of them."))
    if find_unused_parameters:
        reason = "FairScale waits for the gradient of every parameter and does not look for unused ones."
        remedy = "Use strategy='ddp_find_unused_parameters_true'."
        problems.append(Problem("find_unused_parameters", True, reason, remedy))
    if problems:
        raise ConfigurationError(problems)


_DEVICES = frozenset({"cpu", "cuda"})

DDP_SHARDED_SPEC = StrategySpec(
    name="ddp_sharded",
    create=DDPShardedStrategy,
    summary="FairScale: a copy of the model per device, gradients and optimizer states in parts.",
    priority=10,
    launcher="subprocess",
    device_types=_DEVICES,
    late_optimizers=False,
)
DDP_SHARDED_SPAWN_SPEC = StrategySpec(
    name="ddp_sharded_spawn",
    create=partial(DDPShardedStrategy, start_method="spawn"),
    summary="ddp_sharded with fresh processes, to which model and data are pickled.",
    priority=5,
    launcher="spawn",
    device_types=_DEVICES,
    late_optimizers=False,
)
_SPECS: dict[str, StrategySpec] = {"popen": DDP_SHARDED_SPEC, "spawn": DDP_SHARDED_SPAWN_SPEC}
"""What an object made by hand is, by its start method."""
