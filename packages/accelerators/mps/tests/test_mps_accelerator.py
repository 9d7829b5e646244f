"""What users write and are told. Where torch's own functions would need an Apple machine, they are replaced."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from fulmen_accelerator_cpu import CPU_SPEC
from fulmen_accelerator_mps import MPS_SPEC, MPSAccelerator
from fulmen_accelerator_mps._probe import has_bfloat16, has_loss_scaling, reason_for_none
from fulmen_core import RunRequest, Trainer, resolve
from fulmen_interfaces import ACCELERATORS, PRECISIONS, STRATEGIES, Catalogue, ConfigurationError, Probe, StrategySpec
from fulmen_precision import FP16_MIXED, FP32_TRUE, FP64_TRUE
from fulmen_strategy_single_device import SINGLE_DEVICE_SPEC


def apple_machine() -> Catalogue:
    catalogue = Catalogue()
    for accelerator in (CPU_SPEC, replace(MPS_SPEC, probe=lambda: Probe(1))):
        catalogue.register(ACCELERATORS, accelerator)
    several = StrategySpec(name="several", create=object, priority=0)
    for strategy in (SINGLE_DEVICE_SPEC, several):
        catalogue.register(STRATEGIES, strategy)
    for precision in (FP32_TRUE, FP64_TRUE, FP16_MIXED):
        catalogue.register(PRECISIONS, precision)
    return catalogue


@pytest.mark.parametrize("word", ["mps", "gpu", "auto"])
@pytest.mark.parametrize("devices", [1, [0], -1, "auto"])
def test_every_word_leads_to_the_one_device(word: str, devices: Any) -> None:
    plan = resolve(RunRequest(word, devices=devices), apple_machine())
    assert plan.accelerator_spec.name == "mps"
    assert [plan.make_accelerator().device(index) for index in plan.devices] == [torch.device("mps:0")]


@pytest.mark.parametrize(
    ("changes", "argument", "part"),
    [
        ({"precision": "64-true"}, "precision", "mps cannot compute in float64."),
        ({"devices": 2}, "devices", "Only 1 mps device exists here: 0."),
        ({"strategy": "several"}, "strategy", "torch.distributed, which mps cannot take part in."),
    ],
)
def test_what_the_device_cannot_do_is_refused_with_what_would_work(
    changes: dict[str, Any], argument: str, part: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve(replace(RunRequest("mps"), **changes), apple_machine())
    [problem] = error.value.problems
    assert problem.argument == argument
    assert part in problem.reason
    assert problem.remedy


@pytest.mark.skipif(MPS_SPEC.probe().available, reason="there is such a device")
def test_the_trainer_gives_the_reason_of_this_machine() -> None:
    with pytest.raises(ConfigurationError) as error:
        Trainer(accelerator="mps")
    assert reason_for_none() in str(error.value)
    assert not MPSAccelerator.is_available()


@pytest.mark.parametrize(
    ("system", "machine", "built", "part"),
    [
        ("linux", "x86_64", False, "under macOS"),
        ("darwin", "x86_64", True, "This one is x86_64"),
        ("darwin", "arm64", False, "is built without MPS"),
        ("darwin", "arm64", True, "shows torch no GPU"),
    ],
)
def test_the_reason_names_what_is_missing(
    system: str, machine: str, built: bool, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: built)
    assert part in reason_for_none()


@pytest.mark.parametrize(("version", "known"), [("13.6.1", False), ("14.0", True), ("26.1", True), ("", True)])
def test_bfloat16_needs_macos_14(version: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "mac_ver", lambda: (version, ("", "", ""), ""))
    assert has_bfloat16() is known


@pytest.mark.parametrize(
    ("version", "known"), [("2.7.1", False), ("2.8.0", True), ("2.13.0+cpu", True), ("2.14.0.dev20261101", True)]
)
def test_loss_scaling_needs_torch_2_8(version: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    assert has_loss_scaling() is known


def test_figures_and_random_state_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [torch.arange(4, dtype=torch.uint8)]
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 10)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 20)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 30)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    accelerator = MPSAccelerator()
    assert accelerator.stats(torch.device("mps:0")) == {
        "memory_allocated_bytes": 10.0,
        "driver_allocated_bytes": 20.0,
        "recommended_memory_bytes": 30.0,
    }
    before = accelerator.random_state()
    accelerator.set_random_state({"cuda:0": torch.zeros(4, dtype=torch.uint8)})
    assert len(states) == 1
    accelerator.set_random_state({name: state + 1 for name, state in before.items()})
    assert torch.equal(states[-1], states[0] + 1)


def test_teardown_empties_the_cache_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: calls.append("emptied"))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    MPSAccelerator().teardown()
    assert calls == []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    MPSAccelerator().free_memory()
    assert calls == ["emptied"]


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB, max allowed: 5 GB)."), True),
        (RuntimeError("Placeholder storage has not been allocated on MPS device!"), False),
        (MemoryError(), False),
    ],
)
def test_lack_of_memory_is_told_from_other_errors(error: BaseException, lacks: bool) -> None:
    outer = ValueError("the step failed")
    outer.__cause__ = error
    assert MPSAccelerator().is_out_of_memory(error) is MPSAccelerator().is_out_of_memory(outer) is lacks
