"""A copy of the model per process; gradients are averaged while they are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal, final

import torch.distributed as dist
from torch import nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]

from fulmen_distributed import DEFAULT_TIMEOUT, PlainModel, ProcessGroup
from fulmen_interfaces import (
    BrokenPlugin,
    Collectives,
    ConfigurationError,
    FulmenError,
    Placement,
    PrepareRequest,
    Problem,
    SingleProcessCollectives,
    StrategySpec,
)
from fulmen_strategy_ddp._replica import Replica

CommHook = Callable[[Any, GradBucket], Any]
StartMethod = Literal["popen", "spawn", "fork"]


@final
class DDPStrategy:
    """Trains a copy of the model in every process with torch's DistributedDataParallel.

    Args:
        process_group_backend: what carries messages between devices; None: what the accelerator names.
        timeout: how long a process waits for the others before the run fails.
        start_method: how processes are started where nobody has: popen (the script is run again), spawn or fork.
        find_unused_parameters: look in each step for parameters that the loss does not depend on.
        ddp_comm_hook, ddp_comm_state, ddp_comm_wrapper: how gradients travel, as in
            `torch.distributed.algorithms.ddp_comm_hooks`; the wrapper is applied to the hook.
        ddp_options: further arguments of DistributedDataParallel: static_graph, gradient_as_bucket_view,
            broadcast_buffers, bucket_cap_mb and the rest.
    """

    def __init__(
        self,
        *,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        start_method: StartMethod = "popen",
        find_unused_parameters: bool = False,
        ddp_comm_hook: CommHook | None = None,
        ddp_comm_state: object | None = None,
        ddp_comm_wrapper: Callable[[CommHook], CommHook] | None = None,
        **ddp_options: Any,
    ) -> None:
        if start_method not in _SPECS:
            reason = "Processes are started by popen, spawn or fork."
            raise ConfigurationError([Problem("start_method", start_method, reason, "Write one of them.")])
        self._spec = _SPECS[start_method]
        self._group = ProcessGroup(backend=process_group_backend, timeout=timeout or DEFAULT_TIMEOUT)
        self._options = {"find_unused_parameters": find_unused_parameters, **ddp_options}
        self._hook, self._hook_state = ddp_comm_hook, ddp_comm_state
        if ddp_comm_hook is not None and ddp_comm_wrapper is not None:
            self._hook = ddp_comm_wrapper(ddp_comm_hook)
        self._placement: Placement | None = None
        self._collectives: Collectives = SingleProcessCollectives()
        self._placed: list[nn.Module] = []

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return self._spec

    @property
    def collectives(self) -> Collectives:
        """Those of the run's process group."""
        return self._collectives

    def start(self, placement: Placement) -> None:
        """Join the other processes."""
        self._collectives = self._group.join(placement)
        self._placement = placement

    def prepare(self, request: PrepareRequest) -> PlainModel:
        """Convert, place and wrap the model. Every rank begins with the weights of rank zero."""
        if self._placement is None:
            raise FulmenError("`prepare` was called before `start`, which says on which device. Call `start` first.")
        device, precision = self._placement.device, request.precision
        if precision.convert_module(request.module) is not request.module:
            raise BrokenPlugin(
                f"The precision {precision.policy.name!r} made a new module out of {type(request.module).__name__}. "
                "Steps run in the user's own module, so it must be converted in place. Its author must correct "
                "`convert_module`."
            )
        if request.sync_batchnorm:
            _synchronise_batchnorm(request.module, device.type)
        request.entry.to(device)
        self._placed.append(request.entry)
        optimizers = tuple(request.make_optimizers())
        model = PlainModel(
            module=request.module,
            training_module=request.entry,
            evaluation_module=request.entry,
            optimizers=optimizers,
            precision=precision,
            device_type=device.type,
            scaler=precision.grad_scaler(device.type) if optimizers else None,
        )
        if not (optimizers and _is_trained(request.entry)):
            _copy_from_rank_zero(request.entry)
            return model
        replica = self._wrapped(request.entry)
        return replace(model, training_module=replica, no_sync=replica.no_sync, before_backward=replica.before_backward)

    def teardown(self) -> None:
        """Leave the other processes; modules return to the host."""
        self._collectives = SingleProcessCollectives()
        self._placement = None
        self._group.leave()
        for module in self._placed:
            module.to("cpu")
        self._placed.clear()

    def _wrapped(self, entry: nn.Module) -> Replica:
        device = self._placement.device if self._placement else None
        ids = None if device is None or device.index is None or device.type == "cpu" else [device.index]
        replica = Replica(entry, device_ids=ids, **self._options)
        if self._hook is not None:
            replica.register_comm_hook(self._hook_state, self._hook)
        return replica


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _copy_from_rank_zero(module: nn.Module) -> None:
    """Give every rank the weights that rank zero has: torch's wrapper does that, but only where it wraps."""
    for tensor in [*module.parameters(), *module.buffers()]:
        values = tensor.detach().contiguous()
        dist.broadcast(values, src=0)
        if values.data_ptr() != tensor.data_ptr():
            tensor.detach().copy_(values)


def _synchronise_batchnorm(module: nn.Module, device_type: str) -> None:
    if device_type == "cpu":
        reason = "torch synchronises batch norm over processes on GPUs only."
        raise ConfigurationError([Problem("sync_batchnorm", True, reason, "Leave it out on the CPU.")])
    nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]


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
_SPECS: dict[StartMethod, StrategySpec] = {"popen": DDP_SPEC, "spawn": DDP_SPAWN_SPEC, "fork": DDP_FORK_SPEC}
"""What an object made by hand is, by its start method."""
