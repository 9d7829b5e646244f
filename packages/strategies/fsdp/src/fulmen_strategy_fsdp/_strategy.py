"""Every process holds a shard of each weight; a block's weights are gathered when it is used."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, final

import torch

from fulmen_distributed import DEFAULT_TIMEOUT, ProcessGroup
from fulmen_interfaces import (
    Alias,
    Collectives,
    ConfigurationError,
    Placement,
    PreparedModel,
    PrepareRequest,
    Refusal,
    StrategySpec,
)
from fulmen_strategy_fsdp._settings import ModulePolicy, Settings, ShardingStrategyName, read_settings, unknown_settings

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import CPUOffload, MixedPrecisionPolicy, OffloadPolicy, ShardingStrategy


@final
class FSDPStrategy:
    """Shards weights, gradients and optimizer states among the processes, with torch's `fully_shard`.

    Args:
        process_group_backend: what carries messages between devices; None: what the accelerator names.
        timeout: how long a process waits for the others before the run fails.
        cpu_offload: keep the shards in the host's memory; True, False, or torch's CPUOffloadPolicy.
        mixed_precision: torch's MixedPrecisionPolicy, in place of what follows from the Trainer's precision. With a
            `param_dtype`, weights are gathered in that type and steps run without autocast.
        auto_wrap_policy: which modules are gathered one at a time: a set of classes, the least number of parameters, a
            function of a module, or one of torch's policies. None: the whole model is gathered at once.
        activation_checkpointing_policy: whose activations are not kept but computed again in backward; likewise.
        sharding_strategy: FULL_SHARD; SHARD_GRAD_OP keeps weights gathered between forward and backward; HYBRID_SHARD
            shards within groups of devices, of which each has a copy of the model.
        state_dict_type: what `save_checkpoint` writes: "full", one file, or "sharded", a directory.
        device_mesh: for HYBRID_SHARD (copies, devices per copy), or torch's DeviceMesh.
        reshard_after_forward: as in `fully_shard`, in place of what follows from `sharding_strategy`.

    Raises ConfigurationError with everything that is wrong.
    """

    def __init__(  # noqa: PLR0913  # the names and defaults that users know
        self,
        *,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        cpu_offload: bool | CPUOffload | OffloadPolicy | None = None,
        mixed_precision: MixedPrecisionPolicy | None = None,
        auto_wrap_policy: ModulePolicy | None = None,
        activation_checkpointing_policy: ModulePolicy | None = None,
        sharding_strategy: ShardingStrategyName | ShardingStrategy = "FULL_SHARD",
        state_dict_type: Literal["full", "sharded"] = "full",
        device_mesh: tuple[int, int] | DeviceMesh | None = None,
        reshard_after_forward: bool | int | None = None,
        **others: Any,
    ) -> None:
        self._settings = _settings(
            others,
            cpu_offload=cpu_offload,
            mixed_precision=mixed_precision,
            auto_wrap_policy=auto_wrap_policy,
            activation_checkpointing_policy=activation_checkpointing_policy,
            sharding_strategy=sharding_strategy,
            state_dict_type=state_dict_type,
            device_mesh=device_mesh,
            reshard_after_forward=reshard_after_forward,
        )
        self._group = ProcessGroup(backend=process_group_backend, timeout=timeout or DEFAULT_TIMEOUT)

    @property
    def spec(self) -> StrategySpec:
        """What it offers and needs."""
        return FSDP_SPEC

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

    def prepare(self, request: PrepareRequest) -> PreparedModel:
        """Convert and shard the model. Every rank takes its shards of rank zero's weights."""
        placement = self._group.placement
        from fulmen_strategy_fsdp._prepare import prepare_model  # imports torch's sharding

        return prepare_model(request, self._settings, placement)

    def init_context(self, device: torch.device, *, empty: bool = False) -> AbstractContextManager[Any]:
        """Return a context that makes modules on the device; where `empty`, without memory.

        What was made without memory is filled block by block when the run begins, each by its `reset_parameters`.
        """
        return torch.device("meta") if empty else device

    def teardown(self) -> None:
        """Leave the other processes. Modules stay sharded, so that a checkpoint can be saved and a next run begin."""
        self._group.leave()


def _settings(others: dict[str, Any], **given: Any) -> Settings:
    """Return the settings, or raise everything that is wrong with them at once."""
    unknown = unknown_settings(others)
    try:
        settings = read_settings(given)
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, *unknown]) from None
    if unknown:
        raise ConfigurationError(unknown)
    return settings


_NO_CPU = Refusal(
    reason=f"torch {torch.__version__} cannot shard models on CPUs: its streams there record no events.",
    remedy="Install a newer torch, or write strategy='ddp'.",
    device_types=frozenset({"cpu"}),
)
FSDP_SPEC = StrategySpec(
    name="fsdp",
    create=FSDPStrategy,
    summary="A shard of the model per device, for models too large for one; the script is run once for each.",
    priority=10,
    launcher="subprocess",
    refusals=() if hasattr(torch.cpu.Stream, "record_event") else (_NO_CPU,),
)
FSDP_CPU_OFFLOAD = Alias(name="fsdp_cpu_offload", target="fsdp", settings={"cpu_offload": True})
