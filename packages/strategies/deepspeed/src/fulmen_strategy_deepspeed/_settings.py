"""The strategy's arguments and the entries of DeepSpeed's config that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypedDict

from fulmen_interfaces import Problem, did_you_mean

Device = Literal["cpu", "nvme"]


class Settings(TypedDict, total=False):
    """What can be set beside `config`; names and defaults are those that users of Lightning know."""

    stage: Literal[1, 2, 3]
    contiguous_gradients: bool
    overlap_comm: bool
    allgather_partitions: bool
    reduce_scatter: bool
    allgather_bucket_size: int
    reduce_bucket_size: int
    sub_group_size: int
    zero_allow_untested_optimizer: bool
    logging_batch_size_per_gpu: int | Literal["auto"]
    offload_optimizer: bool
    offload_optimizer_device: Device
    optimizer_buffer_count: int
    offload_parameters: bool
    offload_params_device: Device
    params_buffer_count: int
    params_buffer_size: int
    max_in_cpu: int
    pin_memory: bool
    nvme_path: str
    block_size: int
    queue_depth: int
    single_submit: bool
    overlap_events: bool
    thread_count: int
    loss_scale: float
    initial_scale_power: int
    loss_scale_window: int
    hysteresis: int
    min_loss_scale: int
    partition_activations: bool
    cpu_checkpointing: bool
    contiguous_memory_optimization: bool
    synchronize_checkpoint_boundary: bool


_ZERO = (
    "stage",
    "contiguous_gradients",
    "overlap_comm",
    "allgather_partitions",
    "reduce_scatter",
    "allgather_bucket_size",
    "reduce_bucket_size",
    "sub_group_size",
)
_FP16 = ("loss_scale", "initial_scale_power", "loss_scale_window", "hysteresis", "min_loss_scale")
_ACTIVATIONS = (
    "partition_activations",
    "cpu_checkpointing",
    "contiguous_memory_optimization",
    "synchronize_checkpoint_boundary",
)
_AIO = ("block_size", "queue_depth", "single_submit", "overlap_events", "thread_count")

_PLACES: dict[str, tuple[str, ...]] = {
    **{name: ("zero_optimization", name) for name in _ZERO},
    **{name: ("fp16", name) for name in _FP16},
    **{name: ("activation_checkpointing", name) for name in _ACTIVATIONS},
    **{name: ("aio", name) for name in _AIO},
    "zero_allow_untested_optimizer": ("zero_allow_untested_optimizer",),
    "logging_batch_size_per_gpu": ("train_micro_batch_size_per_gpu",),
    "offload_optimizer_device": ("zero_optimization", "offload_optimizer", "device"),
    "optimizer_buffer_count": ("zero_optimization", "offload_optimizer", "buffer_count"),
    "offload_params_device": ("zero_optimization", "offload_param", "device"),
    "params_buffer_count": ("zero_optimization", "offload_param", "buffer_count"),
    "params_buffer_size": ("zero_optimization", "offload_param", "buffer_size"),
    "max_in_cpu": ("zero_optimization", "offload_param", "max_in_cpu"),
}
"""Where each argument's value goes."""

_DEFAULTS: Settings = {
    "stage": 2,
    "contiguous_gradients": True,
    "overlap_comm": True,
    "allgather_partitions": True,
    "reduce_scatter": True,
    "allgather_bucket_size": 200_000_000,
    "reduce_bucket_size": 200_000_000,
    "sub_group_size": 1_000_000_000_000,
    "zero_allow_untested_optimizer": True,
    "logging_batch_size_per_gpu": 1,
}
_OFFLOADED: dict[str, Settings] = {
    "offload_optimizer": {"offload_optimizer_device": "cpu", "optimizer_buffer_count": 4},
    "offload_parameters": {
        "offload_params_device": "cpu",
        "params_buffer_count": 5,
        "params_buffer_size": 100_000_000,
        "max_in_cpu": 1_000_000_000,
    },
}
_SECTIONS = {"offload_optimizer": "offload_optimizer", "offload_parameters": "offload_param"}
_KNOWN = {*_PLACES, *_OFFLOADED, "pin_memory", "nvme_path"}


def unknown_settings(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for every argument that there is not."""
    for name in sorted(set(settings) - _KNOWN):
        hint = did_you_mean(name, sorted(_KNOWN)).strip()
        reason = f"DeepSpeedStrategy has no such argument. {hint}".strip()
        yield Problem(name, settings[name], reason, "Entries of DeepSpeed's own go into `config`, as a dict or a file.")


def merge(settings: Settings, config: dict[str, Any]) -> Iterator[Problem]:
    """Write settings and defaults into the config; yield a problem where both say different things.

    A default never replaces what the config says.
    """
    given: dict[str, Any] = {name: value for name, value in settings.items() if value != "auto"}
    for name in [one for one in _OFFLOADED if one in given]:
        if given[name]:
            yield from _offload(name, given, config)
    for name, value in given.items():
        if name in _PLACES:
            yield from _put(config, _PLACES[name], value, name)
    for name, value in _DEFAULTS.items():
        _set_default(config, _PLACES[name], value)


def _offload(name: str, given: Mapping[str, Any], config: dict[str, Any]) -> Iterator[Problem]:
    section = ("zero_optimization", _SECTIONS[name])
    values: dict[str, Any] = {**_OFFLOADED[name], **given}
    device = values[next(iter(_OFFLOADED[name]))]
    yield from _put(config, (*section, "device"), device, name)
    if "pin_memory" in given:
        yield from _put(config, (*section, "pin_memory"), given["pin_memory"], "pin_memory")
    if device == "nvme":
        yield from _put(config, (*section, "nvme_path"), given.get("nvme_path", "/local_nvme"), "nvme_path")
        for default, value in list(_OFFLOADED[name].items())[1:]:
            _set_default(config, _PLACES[default], value)


def _put(config: dict[str, Any], place: tuple[str, ...], value: Any, name: str) -> Iterator[Problem]:
    found = _set_default(config, place, value)
    if found != value:
        reason = f"The config says {'.'.join(place)}={found!r}."
        yield Problem(name, value, reason, "Say it in one place only.")


def _set_default(config: dict[str, Any], place: tuple[str, ...], value: Any) -> Any:
    """Return what the config says at that place, `value` if it said nothing."""
    for key in place[:-1]:
        config = config.setdefault(key, {})
        if not isinstance(config, dict):
            return value  # the check of types reports it
    return config.setdefault(place[-1], value)
