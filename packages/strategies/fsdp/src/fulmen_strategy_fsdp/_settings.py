"""What users set, checked as a whole. Nothing here imports torch's sharding, which takes a third of a second."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch import nn

from fulmen_interfaces import ConfigurationError, Problem, StateDictType

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import MixedPrecisionPolicy

ModulePolicy: TypeAlias = "type[nn.Module] | Collection[type[nn.Module]] | int | Callable[..., bool]"
"""Which modules: of certain classes; with at least so many parameters; or those for which a function says so."""
ShardingStrategyName = Literal["FULL_SHARD", "SHARD_GRAD_OP", "HYBRID_SHARD", "_HYBRID_SHARD_ZERO2", "NO_SHARD"]

_HYBRID = ("HYBRID_SHARD", "_HYBRID_SHARD_ZERO2")
_KEEPING = ("SHARD_GRAD_OP", "_HYBRID_SHARD_ZERO2")
_INSTEAD = {
    "activation_checkpointing": "Use activation_checkpointing_policy.",
    "data_parallel_size": "Use sharding_strategy='HYBRID_SHARD' with device_mesh=(copies, devices per copy).",
    "save_distributed_checkpoint": "Use state_dict_type='sharded', or 'full'.",
    "tensor_parallel_size": "Leave it out: layers are not split over devices.",
}
"""What stands for settings that have another name elsewhere."""
_STRATEGIES = ("FULL_SHARD", *_KEEPING, "HYBRID_SHARD")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is to be sharded, free of contradictions."""

    wrap: ModulePolicy | None = None
    recompute: ModulePolicy | None = None
    """Whose activations are computed again in backward."""
    hybrid: bool = False
    mesh: DeviceMesh | tuple[int, int] | None = None
    reshard_after_forward: bool | int | None = None
    mixed_precision: MixedPrecisionPolicy | None = None
    offload: bool = False
    pin_memory: bool = True
    state_dict_type: StateDictType = StateDictType.FULL


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings that were given under their public names. ConfigurationError names all that is wrong."""
    problems: list[Problem] = []
    kind = _sharding_strategy(given["sharding_strategy"], problems)
    _check_policies(given, problems)
    _check_mesh(given["device_mesh"], kind, problems)
    _check_reshard(given["reshard_after_forward"], kind, problems)
    _check_mixed_precision(given["mixed_precision"], problems)
    offload, pin_memory = _offload(given["cpu_offload"], problems)
    layout = _state_dict_type(given["state_dict_type"], problems)
    if problems:
        raise ConfigurationError(problems)
    reshard = given["reshard_after_forward"]
    return Settings(
        wrap=given["auto_wrap_policy"],
        recompute=given["activation_checkpointing_policy"],
        hybrid=kind in _HYBRID,
        mesh=given["device_mesh"],
        reshard_after_forward=False if reshard is None and kind in _KEEPING else reshard,
        mixed_precision=given["mixed_precision"],
        offload=offload,
        pin_memory=pin_memory,
        state_dict_type=layout,
    )


def unknown_settings(given: Mapping[str, Any]) -> list[Problem]:
    """Return a problem for each setting that nobody reads, such as those of torch's older sharding."""
    reason = "The strategy has no such setting; it uses `fully_shard`, which needs none of those of the older FSDP."
    return [Problem(name, value, reason, _INSTEAD.get(name, "Leave it out.")) for name, value in given.items()]


def _sharding_strategy(given: Any, problems: list[Problem]) -> str:
    name = given.name if isinstance(given, Enum) else given
    if name in _STRATEGIES:
        return str(name)
    reason, remedy = "There is no such way to shard a model.", f"Write one of {', '.join(_STRATEGIES)}."
    if name == "NO_SHARD":
        reason = "It would shard nothing: every device would hold the whole model."
        remedy = "Use strategy='ddp', which does that, or SHARD_GRAD_OP, which keeps weights between passes only."
    problems.append(Problem("sharding_strategy", given, reason, remedy))
    return ""


def _check_policies(given: Mapping[str, Any], problems: list[Problem]) -> None:
    for argument in ("auto_wrap_policy", "activation_checkpointing_policy"):
        policy = given[argument]
        if policy is not None and not _is_policy(policy):
            reason = "It does not say which modules are meant."
            remedy = "Give a set of module classes, the least number of parameters, or a function of a module."
            problems.append(Problem(argument, policy, reason, remedy))


def _is_policy(policy: Any) -> bool:
    if isinstance(policy, int):
        return not isinstance(policy, bool) and policy > 0
    if isinstance(policy, type):
        return issubclass(policy, nn.Module)
    if isinstance(policy, Collection) and not isinstance(policy, (str, Mapping)):
        return bool(policy) and all(isinstance(one, type) and issubclass(one, nn.Module) for one in policy)
    return callable(policy)


def _check_mesh(mesh: Any, kind: str, problems: list[Problem]) -> None:
    if mesh is None:
        return
    remedy = (
        "Give (copies, devices per copy), or a DeviceMesh of two dimensions, with sharding_strategy='HYBRID_SHARD'."
    )
    if isinstance(mesh, tuple):
        if len(mesh) != 2 or not all(isinstance(size, int) and size > 0 for size in mesh):
            problems.append(Problem("device_mesh", mesh, "It is not a pair of whole numbers.", remedy))
            return
        dimensions = 2
    else:
        from torch.distributed.device_mesh import DeviceMesh

        if not isinstance(mesh, DeviceMesh):
            problems.append(Problem("device_mesh", mesh, "It is no mesh of devices.", remedy))
            return
        dimensions = mesh.ndim
    if kind and dimensions != (2 if kind in _HYBRID else 1):
        wanted = "has two dimensions: copies, and shards of each" if kind in _HYBRID else "has one dimension"
        problems.append(Problem("device_mesh", mesh, f"The mesh of {kind} {wanted}.", remedy))


def _check_reshard(given: Any, kind: str, problems: list[Problem]) -> None:
    if given is None:
        return
    if isinstance(given, bool):
        if given and kind in _KEEPING:
            reason = f"{kind} means that weights are kept after forward."
            remedy = "Leave one of the two out, or use sharding_strategy='FULL_SHARD'."
            problems.append(Problem("reshard_after_forward", given, reason, remedy))
    elif not isinstance(given, int) or given < 1:
        reason = "It says whether weights are given back after forward, or to groups of how many devices."
        problems.append(Problem("reshard_after_forward", given, reason, "Write True, False or a number of devices."))


def _check_mixed_precision(given: Any, problems: list[Problem]) -> None:
    if given is None:
        return
    from torch.distributed.fsdp import MixedPrecisionPolicy

    if not isinstance(given, MixedPrecisionPolicy):
        reason = "It is no policy of `fully_shard`."
        remedy = "Give torch.distributed.fsdp.MixedPrecisionPolicy(param_dtype=..., reduce_dtype=...)."
        problems.append(Problem("mixed_precision", given, reason, remedy))


def _offload(given: Any, problems: list[Problem]) -> tuple[bool, bool]:
    if isinstance(given, bool) or given is None:
        return bool(given), True
    from torch.distributed.fsdp import CPUOffload, CPUOffloadPolicy, OffloadPolicy

    if isinstance(given, CPUOffload):
        return bool(given.offload_params), True
    if isinstance(given, CPUOffloadPolicy):
        return True, given.pin_memory
    if not isinstance(given, OffloadPolicy):
        reason = "It does not say whether the shards lie in the host's memory."
        problems.append(Problem("cpu_offload", given, reason, "Write True or False, or give a CPUOffloadPolicy."))
    return False, True


def _state_dict_type(given: Any, problems: list[Problem]) -> StateDictType:
    try:
        return StateDictType(given)
    except ValueError:
        reason = "A checkpoint is one file or a directory of shards."
        problems.append(Problem("state_dict_type", given, reason, "Write 'full' or 'sharded'."))
        return StateDictType.FULL
