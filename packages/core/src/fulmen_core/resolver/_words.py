"""Words that users bring from elsewhere, and the word that is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fulmen_interfaces import ACCELERATORS, KNOWN_DISTRIBUTIONS, PRECISIONS, STRATEGIES, Catalogue, Role

_ACCELERATORS = {
    **dict.fromkeys(["nvidia", "rocm", "amd", "hip"], "cuda"),
    **dict.fromkeys(["metal", "apple", "m1", "m2", "m3", "silicon"], "mps"),
    **dict.fromkeys(["host", "none", "x86"], "cpu"),
}
_STRATEGIES = {
    **dict.fromkeys(["dp", "data_parallel", "ddp2", "ddp_cpu", "horovod", "bagua", "hivemind", "colossalai"], "ddp"),
    **dict.fromkeys(["distributed", "distributed_data_parallel"], "ddp"),
    **dict.fromkeys(["fsdp2", "fsdp_native", "fully_sharded", "fully_shard", "fully_sharded_native"], "fsdp"),
    **dict.fromkeys(["single", "none", "single_gpu", "single_cpu"], "single_device"),
    **dict.fromkeys(["zero", "zero2", "zero_2"], "deepspeed_stage_2"),
    **dict.fromkeys(["zero1", "zero_1"], "deepspeed_stage_1"),
    **dict.fromkeys(["zero3", "zero_3"], "deepspeed_stage_3"),
    "fairscale": "ddp_sharded",
}
_PRECISIONS = {
    **dict.fromkeys(["fp16", "float16", "half", "f16", "mixed", "amp", "mixed16", "16mixed", "fp16-mixed"], "16-mixed"),
    **dict.fromkeys(["fp16-true", "float16-true", "half-true"], "16-true"),
    **dict.fromkeys(["bfloat16", "bf-16", "bfloat16-mixed", "mixed-bf16", "bf16mixed"], "bf16-mixed"),
    **dict.fromkeys(["bfloat16-true", "bf-16-true"], "bf16-true"),
    **dict.fromkeys(["fp32", "float32", "float", "single", "full", "f32", "tf32"], "32-true"),
    **dict.fromkeys(["fp64", "float64", "double", "f64"], "64-true"),
}
_REMARKS = {
    "16-mixed": " (weights stay in float32, operations run in float16), or '16-true' to convert the whole model",
    "bf16-mixed": " (weights stay in float32, operations run in bfloat16), or 'bf16-true' to convert the whole model",
}
_TF32 = " and call torch.set_float32_matmul_precision('high')"

_MEANT: Mapping[str, Mapping[str, str]] = {
    ACCELERATORS.group: _ACCELERATORS,
    STRATEGIES.group: _STRATEGIES,
    PRECISIONS.group: _PRECISIONS,
}
_OF_VENDORS = frozenset(["tpu", "xla", "hpu", "ipu", "xpu", "npu", "mlu"])
_VENDORS = "Its vendor's distribution has to be installed; it announces the name to the group 'fulmen.accelerators'."
_ARGUMENTS: Mapping[Role[Any], str] = {ACCELERATORS: "accelerator", STRATEGIES: "strategy", PRECISIONS: "precision"}
_DEVICE_OF_TORCH = re.compile(r"([a-z]+):(\d+)")


def plain(word: str) -> str:
    """Return a word in the one spelling that the tables know: `torch.float16` and `BF16_mixed` lose what differs."""
    return word.strip().lower().removeprefix("torch.")


def meant_by(role: Role[Any], word: str) -> str | None:
    """Return the name that a word from elsewhere stands for."""
    return _MEANT[role.group].get(plain(word)) or _MEANT[role.group].get(plain(word).replace("_", "-"))


def cure_for_word(role: Role[Any], argument: str, word: str, catalogue: Catalogue) -> dict[str, object]:
    """Return the arguments to write instead of a word that names no plugin of its role; empty where nobody can tell."""
    device = _DEVICE_OF_TORCH.fullmatch(plain(word))
    if role is ACCELERATORS and device:
        return {argument: device[1], "devices": [int(device[2])]}
    meant = meant_by(role, word)
    if meant:
        return {argument: meant}
    for other, name in _ARGUMENTS.items():
        if other is not role and plain(word) in {*catalogue.names(other), *KNOWN_DISTRIBUTIONS[other.group]}:
            return {argument: None if role is PRECISIONS else "auto", name: plain(word)}
    return {}


def remedy_for_word(role: Role[Any], argument: str, word: str, catalogue: Catalogue) -> str:
    """Return the cure as a sentence."""
    cure = cure_for_word(role, argument, word, catalogue)
    if not cure:
        return _VENDORS if role is ACCELERATORS and plain(word) in _OF_VENDORS else ""
    meant = cure[argument]
    if isinstance(meant, str) and meant != "auto":
        remark = _TF32 if plain(word) == "tf32" else _REMARKS.get(meant, "")
        written = ", ".join(f"{name}={value!r}" for name, value in cure.items())
        return f"Write {written}{remark}.{install_hint(role, meant, catalogue)}"
    other = next(name for name in cure if name != argument)
    return f"That is the name of a{'n' if other[0] == 'a' else ''} {other}: write {other}={plain(word)!r}."


def install_hint(role: Role[Any], name: str, catalogue: Catalogue) -> str:
    """Return what brings a known name that is not installed, with a space before it."""
    known = KNOWN_DISTRIBUTIONS.get(role.group, {})
    if name in catalogue.names(role) or name not in known:
        return ""
    return f" `pip install {known[name]}` brings it."
