"""A machine made of specs: what is installed and which devices exist is up to each test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fulmen_interfaces import (
    ACCELERATORS,
    LAUNCHERS,
    PRECISIONS,
    STRATEGIES,
    AcceleratorSpec,
    Alias,
    Catalogue,
    DType,
    Entry,
    LauncherSpec,
    PluginSpec,
    PrecisionPolicy,
    PrecisionSpec,
    Probe,
    StrategySpec,
)

F16, BF16, F32, F64 = DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64

CPU = AcceleratorSpec(
    name="cpu",
    create=object,
    device_type="cpu",
    probe=lambda: Probe(4),
    priority=0,
    autocast=frozenset({BF16}),
    process_group="gloo",
    indexed=False,
    auto_devices=1,
)
MPS = AcceleratorSpec(
    name="mps",
    create=object,
    device_type="mps",
    probe=lambda: Probe(0, "This machine is no Mac."),
    priority=50,
    families=frozenset({"gpu"}),
    dtypes=frozenset({F16, BF16, F32}),
    autocast=frozenset({F16, BF16}),
)
STRATEGY_SPECS = [
    StrategySpec(
        name="single_device", create=object, priority=100, max_devices=1, multi_node=False, needs_process_group=False
    ),
    StrategySpec(name="ddp", create=object, priority=50, needs_process_group=False, launcher="subprocess"),
    StrategySpec(name="ddp_notebook", create=object, priority=40, needs_process_group=False, launcher="fork"),
    StrategySpec(
        name="sharded",
        create=object,
        priority=10,
        launcher="subprocess",
        device_types=frozenset({"cuda"}),
        autocast=frozenset(),
    ),
    Alias(name="ddp_unused", target="ddp", settings={"find_unused_parameters": True}),
]
LAUNCHER_SPECS = [
    LauncherSpec(name="subprocess", create=object),
    LauncherSpec(name="fork", create=object, interactive=True),
]
PRECISION_SPECS = [
    ("32-true", F32, F32, False, False),
    ("64-true", F64, F64, False, False),
    ("16-true", F16, F16, False, False),
    ("bf16-true", BF16, BF16, False, False),
    ("16-mixed", F32, F16, True, True),
    ("bf16-mixed", F32, BF16, True, False),
]
ALIASES = {"16": "16-mixed", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}


def entries_of_machine(cuda: int = 2, *, without: tuple[str, ...] = ()) -> dict[str, list[Entry]]:
    """Return what is installed on a machine with so many CUDA devices; names in `without` are not."""
    probe = Probe(cuda, "" if cuda else "No NVIDIA driver was found.")
    cuda_spec = AcceleratorSpec(
        name="cuda",
        create=object,
        device_type="cuda",
        probe=lambda: probe,
        priority=100,
        families=frozenset({"gpu"}),
        autocast=frozenset({F16, BF16}),
        loss_scaling=True,
        process_group="nccl",
    )
    precisions = [
        PrecisionSpec(name=name, create=object, policy=PrecisionPolicy(name, kept, computed, kept, kept, auto, scaled))
        for name, kept, computed, auto, scaled in PRECISION_SPECS
    ]
    offered = {
        ACCELERATORS.group: [CPU, cuda_spec, MPS],
        STRATEGIES.group: STRATEGY_SPECS,
        PRECISIONS.group: [*precisions, *(Alias(name=name, target=target) for name, target in ALIASES.items())],
        LAUNCHERS.group: LAUNCHER_SPECS,
    }
    return {group: [entry_of(spec) for spec in specs if spec.name not in without] for group, specs in offered.items()}


def entry_of(spec: PluginSpec[Any] | Alias) -> Entry:
    return Entry(spec.name, f"dist-{spec.name}", "1.0", lambda: spec)


@pytest.fixture(scope="session")
def entries() -> Callable[..., dict[str, list[Entry]]]:
    return entries_of_machine


@pytest.fixture(scope="session")
def machine() -> Callable[..., Catalogue]:
    return lambda *args, **kwargs: Catalogue(entries_of_machine(*args, **kwargs))
