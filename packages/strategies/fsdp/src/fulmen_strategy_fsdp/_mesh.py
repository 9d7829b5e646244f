"""Which devices share a copy of the model."""

from __future__ import annotations

from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from fulmen_interfaces import ConfigurationError, Problem, World
from fulmen_strategy_fsdp._settings import Settings


def mesh_shape(settings: Settings, world: World) -> tuple[int, ...]:
    """Return (devices), or (copies, devices per copy). Raises ConfigurationError where the run's devices do not fit."""
    given = settings.mesh
    if isinstance(given, DeviceMesh):
        shape = tuple(given.shape)
    elif settings.hybrid:
        shape = _hybrid_shape(given, world)
    else:
        shape = (world.size,)
    _refuse_odd_groups(settings, shape[-1])
    return shape


def make_mesh(settings: Settings, shape: tuple[int, ...], device_type: str) -> DeviceMesh:
    """Return the mesh of that shape: the user's own, where one was given."""
    if isinstance(settings.mesh, DeviceMesh):
        return settings.mesh
    return init_device_mesh(device_type, shape, mesh_dim_names=("replicate", "shard")[-len(shape) :])


def _hybrid_shape(given: tuple[int, int] | None, world: World) -> tuple[int, int]:
    if given is None and world.num_nodes == 1:
        reason = "There is one machine, and nothing says how many devices share a copy of the model."
        remedy = "Give device_mesh=(copies, devices per copy)."
        raise ConfigurationError([Problem("sharding_strategy", "HYBRID_SHARD", reason, remedy)])
    copies, shards = given or (world.num_nodes, world.size // world.num_nodes)
    if copies * shards != world.size:
        reason = f"{copies} × {shards} devices are {copies * shards}, but the run has {world.size}."
        remedy = "Give two numbers whose product is the number of devices."
        raise ConfigurationError([Problem("device_mesh", given, reason, remedy)])
    return copies, shards


def _refuse_odd_groups(settings: Settings, shards: int) -> None:
    size = settings.reshard_after_forward
    if size is not None and not isinstance(size, bool) and shards % size:
        reason = f"The {shards} devices that share a copy of the model are not made of groups of {size}."
        raise ConfigurationError([Problem("reshard_after_forward", size, reason, f"Give a divisor of {shards}.")])
