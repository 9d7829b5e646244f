"""Sharding a model: blocks from the inside out, then the rest; optimizers over the shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed._composable.checkpoint_activation import checkpoint as recomputed
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
    rank_zero_warn,
)
from fulmen_strategy_fsdp._blocks import chosen_modules, shardable_blocks
from fulmen_strategy_fsdp._evaluation import EvaluationPass
from fulmen_strategy_fsdp._mesh import make_mesh, mesh_shape
from fulmen_strategy_fsdp._model import ShardedModel
from fulmen_strategy_fsdp._root import ShardedRoot
from fulmen_strategy_fsdp._settings import Settings
from fulmen_strategy_fsdp._state import clip_norm
from fulmen_strategy_fsdp._weights import fill, refuse_unfillable, same_on_all_ranks

_ROOT = "_fulmen_sharded_root"
"""Under this name, beside what torch keeps there of its sharding, a module's root outlives the run that made it."""


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How parameters lie and in which types they are computed with: it cannot change once a module is sharded."""

    device: torch.device
    mesh_shape: tuple[int, ...]
    mixed_precision: MixedPrecisionPolicy
    offload: bool
    converted_to: str
    """The type that the whole module was converted to; empty where it keeps its own."""


def prepare_model(request: PrepareRequest, settings: Settings, placement: Placement) -> ShardedModel:
    """Convert and shard the model, and make its optimizers."""
    device, precision = placement.device, request.precision
    root = _root_of(request, settings, placement)
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


def mixed_precision_of(policy: PrecisionPolicy) -> MixedPrecisionPolicy:
    """Return what a precision asks of torch's sharding.

    Weights are gathered in the type in which they are kept; under autocast each operation converts what it needs, as it
    does under every other strategy.
    """
    reduce = None if policy.reduce is policy.parameters else getattr(torch, policy.reduce.value)
    return MixedPrecisionPolicy(reduce_dtype=reduce, cast_forward_inputs=False)


def _root_of(request: PrepareRequest, settings: Settings, placement: Placement) -> ShardedRoot:
    """Return the root of the module: that of an earlier run, or one around what is sharded now."""
    sharding = _sharding(request.precision.policy, settings, placement)
    before = vars(request.module).get(_ROOT)
    if before is not None:
        return _found_again(before, sharding, request)
    _make_ready(request, settings, placement.device.type)
    root = _sharded(request, settings, sharding)
    # Past nn.Module's own way to set attributes: the root is no part of the module.
    vars(request.module)[_ROOT] = (root, sharding)
    return root


def _sharding(policy: PrecisionPolicy, settings: Settings, placement: Placement) -> Sharding:
    return Sharding(
        device=placement.device,
        mesh_shape=mesh_shape(settings, placement.world),
        mixed_precision=settings.mixed_precision or mixed_precision_of(policy),
        offload=settings.offload and placement.device.type != "cpu",  # where all is in the host's memory anyway
        converted_to="" if policy.autocast or policy.parameters == "float32" else str(policy.parameters),
    )


def _found_again(before: tuple[ShardedRoot, Sharding], sharding: Sharding, request: PrepareRequest) -> ShardedRoot:
    root, sharded_as = before
    if sharded_as != sharding:
        raise FulmenError(
            f"{type(request.module).__name__} was sharded by an earlier run as {sharded_as}, and this run asks for "
            f"{sharding}. A module stays sharded as it is. Use the same settings and devices, or save a checkpoint, "
            "make the module anew and give `ckpt_path`."
        )
    root.entry = request.entry
    root.release()
    return root


def _make_ready(request: PrepareRequest, settings: Settings, device_type: str) -> None:
    """Bring the module into the state in which it can be sharded. Raises ModuleError where that cannot be."""
    module = request.module
    convert_in_place(request)
    if request.sync_batchnorm:
        synchronise_batchnorm(module, device_type)
    _refuse_numbers(module)
    refuse_unfillable(module)
    if settings.recompute is not None:
        for one in chosen_modules(module, settings.recompute):
            recomputed(one)  # torch's wrappers would change names and structure


def _sharded(request: PrepareRequest, settings: Settings, sharding: Sharding) -> ShardedRoot:
    """Shard the module's blocks, then what is in no block, with the root."""
    module, device = request.module, sharding.device
    options: dict[str, Any] = {
        "mesh": make_mesh(settings, sharding.mesh_shape, device.type),
        "mp_policy": sharding.mixed_precision,
        "offload_policy": CPUOffloadPolicy(pin_memory=settings.pin_memory) if sharding.offload else OffloadPolicy(),
    }
    if settings.reshard_after_forward is not None:  # otherwise torch decides: not every release has a word for that
        options["reshard_after_forward"] = settings.reshard_after_forward
    root = ShardedRoot(request.entry)
    for one in (*_blocks(module, settings), root):
        fill(one, device)
        same_on_all_ranks(_whole_tensors(one), device)
        fully_shard(one, **options)
    for one in module.modules():
        if next(one.parameters(), None) is None:  # such as metrics, whose states are no buffers
            one.to(device)
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


def _whole_tensors(module: nn.Module) -> Iterator[Tensor]:
    for tensor in (*module.parameters(), *module.buffers()):
        if not isinstance(tensor, DTensor):
            yield tensor


def _refuse_numbers(module: nn.Module) -> None:
    names = [name for name, parameter in module.named_parameters() if parameter.ndim == 0]
    if names:
        raise ModuleError(
            f"{', '.join(names)} of {type(module).__name__} is a parameter without dimensions, which cannot be "
            "sharded. Make it a tensor with one element: `nn.Parameter(torch.ones(1))`."
        )


def _refuse_flattening(optimizers: tuple[Optimizer, ...]) -> None:
    if any(isinstance(optimizer, LBFGS) for optimizer in optimizers):
        reason = "It strings all weights together to one vector, and no rank has more than a shard of each."
        remedy = "Use another optimizer, or strategy='ddp'."
        raise ConfigurationError([Problem("configure_optimizers", "LBFGS", reason, remedy)])
