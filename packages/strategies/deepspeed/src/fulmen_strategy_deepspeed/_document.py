"""The config that DeepSpeed gets, read and checked: types and names by pydantic, contradictions by ourselves."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fulmen_interfaces import ConfigurationError, DType, PrepareRequest, Problem, did_you_mean

PATH_VARIABLE = "PL_DEEPSPEED_CONFIG_PATH"
"""Names a config file where none was given."""

_BATCHES = "How many samples a step sees follows from the loaders, `devices` and `accumulate_grad_batches`."
_FLOAT32 = ("fp32", "float32", "float", "torch.float32")
"""DeepSpeed's words for it."""
_REFUSED = {
    "train_batch_size": (_BATCHES, "Leave it out."),
    "autotuning": ("It ends the process between its trials.", "Leave it out, and run DeepSpeed's own launcher for it."),
    "data_efficiency": ("Data is read by the Trainer's loaders.", "Leave it out, and choose samples in a sampler."),
    "hybrid_engine": ("The engine that generates while it trains is not driven by this strategy.", "Leave it out."),
    "pipeline": ("Pipelines are not driven by this strategy.", "Leave it out."),
    "tensor_parallel": ("Tensor parallelism is not driven by this strategy.", "Leave it out."),
    "expert_parallel": ("Expert parallelism is not driven by this strategy.", "Leave it out."),
    "sequence_parallel_size": ("Sequence parallelism is not driven by this strategy.", "Leave it out."),
    "managed_gradient_accumulation": ("The Trainer says where a step ends.", "Leave it out."),
    "amp": ("NVIDIA's apex is gone.", "Write precision='16-mixed' or 'bf16-mixed' in the Trainer."),
}
"""Entries that would change what a step is, with reason and remedy."""


def read_config(config: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return the config as a dict of its own, without entries that are "auto"."""
    given: Any = config if config is not None else os.environ.get(PATH_VARIABLE)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        given = _read_file(given)
    found: dict[str, Any] = _without_auto(copy.deepcopy(dict(given)))
    return found


def check_names(config: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the config as it stands alone, before there is anything to compare it with."""
    from pydantic import ValidationError

    from fulmen_strategy_deepspeed._document_model import Document

    try:
        Document.model_validate(dict(config))
    except ValidationError as error:
        return list(_problems(error.errors(), "", sorted(Document.model_fields)))
    problems = [Problem(f"config[{key!r}]", config[key], *why) for key, why in _REFUSED.items() if key in config]
    return [*problems, *_problems_of_stage(config["zero_optimization"])]


def _problems_of_stage(zero: Mapping[str, Any]) -> Iterator[Problem]:
    stage = zero["stage"]
    if stage not in (1, 2, 3):
        reason = "Stage 0 divides nothing." if stage == 0 else "There is no such stage."
        yield Problem("stage", stage, reason, "Write 1, 2 or 3, or use strategy='ddp'.")
    elif stage != 3 and zero.get("offload_param", {}).get("device", "none") != "none":
        reason = f"Stage {stage} keeps all weights on every device, so there is nothing to move."
        yield Problem("offload_parameters", True, reason, "Write stage=3.")


def check_sections(config: Mapping[str, Any]) -> list[Problem]:
    """Return what DeepSpeed itself objects to in the sections that it has models for."""
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from pydantic import ValidationError

    models = {"zero_optimization": DeepSpeedZeroConfig, "fp16": DeepSpeedFP16Config, "bf16": DeepSpeedBF16Config}
    problems: list[Problem] = []
    for name, model in models.items():
        try:
            model(**copy.deepcopy(config.get(name, {})))
        except ValidationError as error:
            problems += _problems(error.errors(), name, sorted(model.model_fields))
    return problems


def check_device(config: Mapping[str, Any], device_type: str) -> Iterator[Problem]:
    """Yield what cannot be done on that kind of device."""
    section = config.get("activation_checkpointing", {})
    for name in ("partition_activations", "cpu_checkpointing", "contiguous_memory_optimization"):
        if device_type == "cpu" and section.get(name):
            reason = "DeepSpeed moves and divides the activations of GPUs; on CPUs it mixes up their shapes."
            yield Problem(name, True, reason, "Leave it out: `deepspeed.checkpointing.checkpoint` works without it.")


def contradictions(config: Mapping[str, Any], request: PrepareRequest) -> Iterator[Problem]:
    """Yield what the config says otherwise than the Trainer."""
    clip, windows = config.get("gradient_clipping"), config.get("gradient_accumulation_steps", 1)
    if clip is not None and request.clipping is not None:
        reason = f"The config says gradient_clipping={clip!r}, too."
        yield Problem("gradient_clip_val", request.clipping.limit, reason, "Say it in the Trainer only.")
    if windows not in (1, request.accumulate_grad_batches):
        reason = f"The config says gradient_accumulation_steps={windows!r}."
        remedy = "Take it out of the config: the Trainer says where a step ends."
        yield Problem("accumulate_grad_batches", request.accumulate_grad_batches, reason, remedy)
    policy = request.precision.policy
    for section, dtype in (("fp16", DType.FLOAT16), ("bf16", DType.BFLOAT16)):
        if config.get(section, {}).get("enabled") and policy.compute is not dtype:
            reason = f"The config enables {section}, which does not compute in {policy.compute}."
            wanted = "16-mixed" if dtype is DType.FLOAT16 else "bf16-mixed"
            yield Problem("precision", policy.name, reason, f"Write precision={wanted!r}, or take {section} out.")
    if config.get("torch_autocast", {}).get("enabled") and not (policy.autocast and policy.compute is DType.BFLOAT16):
        reason = "The config enables torch_autocast, which this precision does not use."
        yield Problem("precision", policy.name, reason, "Write precision='bf16-mixed', or take torch_autocast out.")


def undriven(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what would make DeepSpeed step with another optimizer than ZeRO's. The precision is in the config."""
    zero, wanted = config["zero_optimization"], str(config.get("data_types", {}).get("grad_accum_dtype"))
    offloaded = zero.get("offload_optimizer", {}).get("device", "none") != "none"
    if zero["stage"] == 1 and not offloaded and config.get("bf16", {}).get("enabled") and wanted in _FLOAT32:
        reason = "In stage 1 DeepSpeed adds bfloat16's gradients up in float32 by an optimizer that is not driven here."
        remedy = "Write stage=2, or take 'grad_accum_dtype' out."
        yield Problem("config['data_types']['grad_accum_dtype']", wanted, reason, remedy)


def raise_if_any(problems: Sequence[Problem]) -> None:
    """Raise ConfigurationError with all problems, if there are any."""
    if problems:
        raise ConfigurationError(problems)


def _read_file(path: str | os.PathLike[str]) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        reason = f"The file cannot be read as JSON: {type(error).__name__}: {error}."
        raise ConfigurationError(
            [Problem("config", os.fspath(path), reason, "Give the path of a JSON file, or a dict.")]
        ) from error
    if not isinstance(found, dict):
        reason = f"The file holds a {type(found).__name__}, not an object with entries."
        raise ConfigurationError([Problem("config", os.fspath(path), reason, "Write {...} around the entries.")])
    return found


def _without_auto(value: Any) -> Any:
    """Leave out what another tool would have filled in."""
    if not isinstance(value, dict):
        return value
    return {key: _without_auto(one) for key, one in value.items() if not (isinstance(one, str) and one == "auto")}


def _problems(errors: Sequence[Mapping[str, Any]], section: str, known: Sequence[str]) -> Iterator[Problem]:
    for error in errors:
        path = [part for part in (section, *map(str, error["loc"])) if part]
        name = "config" + "".join(f"[{part!r}]" for part in path)
        if error["type"] == "extra_forbidden":
            names = known if len(path) == (2 if section else 1) else ()
            hint = did_you_mean(path[-1], names) if names else ""
            yield Problem(name, error["input"], f"DeepSpeed has no such entry. {hint}".strip(), "Take it out.")
        else:
            yield Problem(name, error["input"], f"{error['msg']}.", "See DeepSpeed's page on its configuration.")
