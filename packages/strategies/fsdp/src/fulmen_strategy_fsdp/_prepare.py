"""Parting a model: blocks from the inside out, then the rest; optimizers over the parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed._composable.checkpoint_activation import checkpoint as recomputed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor
from torch.optim import LBFGS, Optimizer

from fulmen_distributed import PlainModel, convert_in_place, synchronise_batchnorm
from fulmen_interfaces import (
    ConfigurationError,
    FulmenError,
    ModuleError,
    Placement,
    PrecisionPolicy,
    PrepareRequest,
    Problem,
    World,
    rank_zero_warn,
)
from fulmen_strategy_fsdp._blocks import chosen_modules, shardable_blocks
from fulmen_strategy_fsdp._evaluation import EvaluationPass
from fulmen_strategy_fsdp._model import ShardedModel
from fulmen_strategy_fsdp._root import ShardedRoot
from fulmen_strategy_fsdp._settings import Settings
from fulmen_strategy_fsdp._state import clip_norm
from fulmen_strategy_fsdp._weights import fill, refuse_unfillable, same_on_all_ranks

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

_ROOT = "_fulmen_sharded_root"
"""Under this name, beside what torch keeps there of its sharding, a module's root outlives the run that made it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides how parameters lie and which types are computed in: it cannot change once a module is parted."""

    device: torch.device
    mesh_shape: tuple[int, ...]
    mixed_precision: MixedPrecisionPolicy
    offload: bool
    converted_to: str
    """The type that the whole module was converted to; empty where it keeps its own."""


def prepare_model(request: PrepareRequest, settings: Settings, placement: Placement) -> ShardedModel:
    """Convert and part the model, and make its optimizers."""
    device, precision = placement.device, request.precision
    root = _parted(request, settings, placement)
    optimizers = tuple(request.make_optimizers())
    _refuse_flattening(optimizers)
    own_types = settings.mixed_precision is not None and settings.mixed_precision.param_dtype is not None
    plain = PlainModel(
        module=request.module,
        training_module=root,
        evaluation_module=root,
        optimizers=optimizers,
        precision=precision,
        device_type=device.type,
        no_sync=root.no_sync,
        before_backward=root.before_backward,
        scaler=precision.grad_scaler(device.type) if optimizers else None,
        clip_norm=clip_norm,
        state_dict_type=settings.state_dict_type,
    )
    return ShardedModel(
        plain=plain,
        root=root,
        evaluation_module=EvaluationPass(root, device),
        autocasts=not (own_types and precision.policy.autocast),
    )


def _parted(request: PrepareRequest, settings: Settings, placement: Placement) -> ShardedRoot:
    """Return the root of the module, which is parted now unless an earlier run did so."""
    module, policy = request.module, request.precision.policy
    shape = _mesh_shape(settings, placement.world)
    plan = Plan(
        device=placement.device,
        mesh_shape=shape,
        mixed_precision=settings.mixed_precision or mixed_precision_of(policy),
        offload=settings.offload and placement.device.type != "cpu",  # where all is in the host's memory anyway
        converted_to="" if policy.autocast or policy.parameters == "float32" else str(policy.parameters),
    )
    before = vars(module).get(_ROOT)
    if before is not None:
        return _found_again(before, plan, request)
    _refuse_odd_groups(settings, shape[-1])
    convert_in_place(request)
    if request.sync_batchnorm:
        synchronise_batchnorm(request.module, placement.device.type)
    _refuse_numbers(module)
    refuse_unfillable(module)
    if settings.recompute is not None:
        for one in chosen_modules(module, settings.recompute):
            recomputed(one)  # torch's wrappers would change names and structure
    options: dict[str, Any] = {
        "mesh": _mesh(settings, shape, placement.device.type),
        "mp_policy": plan.mixed_precision,
        "offload_policy": CPUOffloadPolicy(pin_memory=settings.pin_memory) if plan.offload else OffloadPolicy(),
        "reshard_after_forward": settings.reshard_after_forward,
    }
    for block in _blocks(module, settings):
        _shard(block, placement.device, options)
    root = ShardedRoot(request.entry)
    _shard(root, placement.device, options)
    for one in module.modules():
        if next(one.parameters(), None) is None:  # such as metrics, whose states are no buffers
            one.to(placement.device)
    # Past nn.Module's own way to set attributes: the root is no part of the module.
    vars(module)[_ROOT] = (root, plan)
    return root


def _blocks(module: nn.Module, settings: Settings) -> list[nn.Module]:
    if settings.wrap is None:
        return []
    blocks = shardable_blocks(module, settings.wrap)
    if not blocks:
        rank_zero_warn(
            f"`auto_wrap_policy` means no part of {type(module).__name__}, so all its weights are gathered at once. "
            "Name classes of modules that it consists of, or a smaller number of parameters."
        )
    by_the_user = {inner for one in module.modules() if isinstance(one, FSDPModule) for inner in one.modules()}
    return [block for block in blocks if block not in by_the_user]


def _shard(module: nn.Module, device: torch.device, options: dict[str, Any]) -> None:
    """Fill what has no memory, take rank zero's values, and part what is not parted yet."""
    fill(module, device)
    same_on_all_ranks(_whole_tensors(module), device)
    fully_shard(module, **options)


def _whole_tensors(module: nn.Module) -> Iterator[Tensor]:
    for tensor in (*module.parameters(), *module.buffers()):
        if not isinstance(tensor, DTensor):
            yield tensor


def _found_again(before: tuple[ShardedRoot, Plan], plan: Plan, request: PrepareRequest) -> ShardedRoot:
    root, made = before
    if made != plan:
        raise FulmenError(
            f"{type(request.module).__name__} was parted by an earlier run as {made}, and this run asks for {plan}. "
            "A module stays parted as it is. Use the same settings and devices, or save a checkpoint, make the module "
            "anew and give `ckpt_path`."
        )
    root.entry = request.entry
    root.release()
    return root


def mixed_precision_of(policy: PrecisionPolicy) -> MixedPrecisionPolicy:
    """Return what a precision asks of torch's sharding.

    Weights are gathered in the type in which they are kept; under autocast each operation converts what it needs, as it
    does under every other strategy.
    """
    reduce = None if policy.reduce is policy.parameters else getattr(torch, policy.reduce.value)
    return MixedPrecisionPolicy(reduce_dtype=reduce, cast_forward_inputs=False)


def _mesh_shape(settings: Settings, world: World) -> tuple[int, ...]:
    """Return (devices), or (copies, devices per copy)."""
    given = settings.mesh
    if given is not None and not isinstance(given, tuple):
        return tuple(given.shape)
    if not settings.hybrid:
        return (world.size,)
    copies, parts = given or (world.num_nodes, world.size // world.num_nodes)
    problem = None
    if given is None and world.num_nodes == 1:
        reason = "There is one machine, and nothing says how many devices share a copy of the model."
        problem = Problem("sharding_strategy", "HYBRID_SHARD", reason, "Give device_mesh=(copies, devices per copy).")
    elif copies * parts != world.size:
        reason = f"{copies} × {parts} devices are {copies * parts}, but the run has {world.size}."
        problem = Problem("device_mesh", given, reason, "Give two numbers whose product is the number of devices.")
    if problem is not None:
        raise ConfigurationError([problem])
    return copies, parts


def _mesh(settings: Settings, shape: tuple[int, ...], device_type: str) -> DeviceMesh:
    if settings.mesh is not None and not isinstance(settings.mesh, tuple):
        return settings.mesh
    return init_device_mesh(device_type, shape, mesh_dim_names=("replicate", "shard")[-len(shape) :])


def _refuse_odd_groups(settings: Settings, parts: int) -> None:
    size = settings.reshard_after_forward
    if size is not None and not isinstance(size, bool) and parts % size:
        reason = f"The {parts} devices that share a copy of the model are not made of groups of {size}."
        raise ConfigurationError([Problem("reshard_after_forward", size, reason, f"Give a divisor of {parts}.")])


def _refuse_numbers(module: nn.Module) -> None:
    names = [name for name, parameter in module.named_parameters() if parameter.ndim == 0]
    if names:
        raise ModuleError(
            f"{', '.join(names)} of {type(module).__name__} is a parameter without dimensions, of which there are no "
            "parts. Make it a tensor with one element: `nn.Parameter(torch.ones(1))`."
        )


def _refuse_flattening(optimizers: tuple[Optimizer, ...]) -> None:
    if any(isinstance(optimizer, LBFGS) for optimizer in optimizers):
        reason = "It strings all weights together to one vector, and no rank has more than parts of each."
        remedy = "Use another optimizer, or strategy='ddp'."
        raise ConfigurationError([Problem("configure_optimizers", "LBFGS", reason, remedy)])
