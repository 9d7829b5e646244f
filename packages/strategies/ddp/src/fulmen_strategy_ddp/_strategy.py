"""A copy of the model per process; gradients are averaged while they are computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal, final

import torch
from torch import nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]

from fulmen_distributed import (
    DEFAULT_TIMEOUT,
    OnDevice,
    PlainModel,
    ProcessGroup,
    WeakList,
    copy_from_rank_zero,
    guarded,
    parameter_names,
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
from fulmen_strategy_ddp._replica import Replica, unknown_options

CommHook = Callable[[Any, GradBucket], Any]
StartMethod = Literal["popen", "spawn", "fork", "forkserver"]


@final
class DDPStrategy:
    """Trains a copy of the model in every process with torch's DistributedDataParallel.

    Args:
        process_group_backend: what carries messages between devices; None: what the accelerator names.
        timeout: how long a process waits for the others before the run fails.
        start_method: how processes are started where nobody has: popen (the script is run again), spawn, fork or
            forkserver.
        find_unused_parameters: look in each step for parameters that the loss does not depend on.
        ddp_comm_hook, ddp_comm_state, ddp_comm_wrapper: how gradients travel, as in
            `torch.distributed.algorithms.ddp_comm_hooks`; the wrapper is applied to the hook.
        model_averaging_period: steps after which weights are averaged, where a `PostLocalSGDState` lets ranks step by
            themselves.
        state_dict_type: what `save_checkpoint` writes: full (a file, by rank zero) or sharded (a directory, of which
            each rank writes a part).
        ddp_options: further arguments of DistributedDataParallel: static_graph, gradient_as_bucket_view,
            broadcast_buffers, bucket_cap_mb and the rest.
    """

    def __init__(  # noqa: PLR0913 - the arguments are those that users know
        self,
        *,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        start_method: StartMethod = "popen",
        find_unused_parameters: bool = False,
        ddp_comm_hook: CommHook | None = None,
        ddp_comm_state: object | None = None,
        ddp_comm_wrapper: Callable[[CommHook], CommHook] | None = None,
        model_averaging_period: int | None = None,
        state_dict_type: Literal["full", "sharded"] = "full",
        **ddp_options: Any,
    ) -> None:
        problems = []
        if model_averaging_period is not None or ddp_comm_state is not None:
            from fulmen_strategy_ddp._averaging import averaging_problems  # it imports all of torch's hooks

            problems += averaging_problems(model_averaging_period, ddp_comm_state, ddp_comm_hook)
        if start_method not in _SPECS:
            reason = "Processes are started by popen, spawn, fork or forkserver."
            problems.append(Problem("start_method", start_method, reason, "Write one of them."))
        problems += unknown_options(ddp_options)
        if problems:
            raise ConfigurationError(problems)
        self._spec = _SPECS[start_method]
        self._group = ProcessGroup(backend=process_group_backend, timeout=timeout or DEFAULT_TIMEOUT)
        self._options = {"find_unused_parameters": find_unused_parameters, **ddp_options}
        self._hook, self._hook_state = ddp_comm_hook, ddp_comm_state
        if ddp_comm_hook is not None and ddp_comm_wrapper is not None:
            self._hook = ddp_comm_wrapper(ddp_comm_hook)
        self._period = model_averaging_period
        self._state_dict_type = state_dict_type_of(state_dict_type)
        self._placed: WeakList[nn.Module] = WeakList()

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
        """Convert, place and wrap the model. Every rank begins with the weights of rank zero."""
        device = self._group.placement.device
        if request.sync_batchnorm:
            synchronise_batchnorm(request.module, device.type)
        self._placed.append(request.entry)
        model = plain_model(request, device, state_dict_type=self._state_dict_type)
        if not (model.optimizers and _is_trained(request.entry)):
            # Torch's wrapper does this, but only where it wraps.
            copy_from_rank_zero([*request.entry.parameters(), *request.entry.buffers()])
            return model
        replica = self._wrapped(request, device)
        if self._period is not None:
            from fulmen_strategy_ddp._averaging import average_weights  # it imports all of torch's hooks

            average_weights(model.optimizers, self._period, self._hook_state)
        before_backward = guarded(
            self._group.collectives,
            replica.before_backward,
            name="gradients",
            which=lambda: f"of step {replica.steps}",
            when=lambda: replica.require_backward_grad_sync,
            module=request.module,
        )
        return replace(model, training_module=replica, no_sync=replica.no_sync, before_backward=before_backward)

    def init_context(self, device: torch.device, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context that makes modules on the device; where `empty`, torch's initial values are not computed."""
        return OnDevice(device, empty=empty)

    def teardown(self) -> None:
        """Leave the other processes; modules return to the host."""
        self._group.leave()
        for module in self._placed:
            module.to("cpu")
        self._placed.clear()

    def _wrapped(self, request: PrepareRequest, device: torch.device) -> Replica:
        ids = None if device.index is None or device.type == "cpu" else [device.index]
        names, accumulates = parameter_names(request.module), request.accumulate_grad_batches > 1
        replica = Replica(request.entry, names=names, accumulates=accumulates, device_ids=ids, **self._options)
        if self._hook is not None:
            replica.register_comm_hook(self._hook_state, self._hook)
        return replica


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


DDP_SPEC = StrategySpec(
    name="ddp",
    create=DDPStrategy,
    summary="A copy of the model per device; the script is run once for each.",
    priority=50,
    launcher="subprocess",
)
DDP_NOTEBOOK_SPEC = StrategySpec(
    name="ddp_notebook",
    create=partial(DDPStrategy, start_method="fork"),
    summary="ddp for notebooks: processes are forked.",
    priority=40,
    launcher="fork",
)
DDP_FORK_SPEC = StrategySpec(
    name="ddp_fork",
    create=partial(DDPStrategy, start_method="fork"),
    summary="ddp with forked processes.",
    priority=30,
    launcher="fork",
)
DDP_SPAWN_SPEC = StrategySpec(
    name="ddp_spawn",
    create=partial(DDPStrategy, start_method="spawn"),
    summary="ddp with fresh processes, to which model and data are pickled.",
    priority=20,
    launcher="spawn",
)
DDP_FORKSERVER_SPEC = StrategySpec(
    name="ddp_forkserver",
    create=partial(DDPStrategy, start_method="forkserver"),
    summary="ddp with processes that a small server forks; model and data are pickled.",
    priority=10,
    launcher="forkserver",
)
_SPECS: dict[StartMethod, StrategySpec] = {
    "popen": DDP_SPEC,
    "spawn": DDP_SPAWN_SPEC,
    "fork": DDP_FORK_SPEC,
    "forkserver": DDP_FORKSERVER_SPEC,
}
"""What an object made by hand is, by its start method."""
