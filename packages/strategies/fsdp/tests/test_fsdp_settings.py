"""What users set: policies, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import CPUOffload, CPUOffloadPolicy, MixedPrecision, MixedPrecisionPolicy, ShardingStrategy
from torch.distributed.fsdp.wrap import ModuleWrapPolicy, size_based_auto_wrap_policy, transformer_auto_wrap_policy
from torch.utils.data import DataLoader

from fulmen_accelerator_cpu import CPU_SPEC
from fulmen_core import LightningModule, Trainer
from fulmen_interfaces import ConfigurationError, FulmenError, ModuleError, Placement, PrepareRequest, World
from fulmen_strategy_fsdp import FSDP_CPU_OFFLOAD, FSDPStrategy
from fulmen_testing import FakePrecision, RandomDataset

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"sharding_strategy": "NO_SHARD"}, "strategy='ddp'"),
    ({"sharding_strategy": "EVERYTHING"}, "FULL_SHARD"),
    ({"auto_wrap_policy": 0}, "does not say which modules"),
    ({"auto_wrap_policy": {int}}, "does not say which modules"),
    ({"activation_checkpointing_policy": "blocks"}, "does not say which modules"),
    ({"device_mesh": (2, 2)}, "HYBRID_SHARD"),
    ({"device_mesh": (2,), "sharding_strategy": "HYBRID_SHARD"}, "pair of whole numbers"),
    ({"device_mesh": "2x2", "sharding_strategy": "HYBRID_SHARD"}, "no mesh of devices"),
    ({"reshard_after_forward": True, "sharding_strategy": "SHARD_GRAD_OP"}, "weights are kept after forward"),
    ({"reshard_after_forward": 0}, "number of devices"),
    ({"mixed_precision": MixedPrecision(param_dtype=torch.bfloat16)}, "MixedPrecisionPolicy"),
    ({"cpu_offload": "yes"}, "True or False"),
    ({"state_dict_type": "local"}, "'full' or 'sharded'"),
    ({"use_orig_params": True}, "older FSDP"),
    ({"activation_checkpointing": nn.Linear}, "activation_checkpointing_policy"),
    ({"save_distributed_checkpoint": True}, "state_dict_type='sharded'"),
]


@pytest.mark.parametrize(("settings", "expected"), WRONG, ids=["-".join(settings) for settings, _ in WRONG])
def test_what_cannot_be_is_refused_with_what_would_work(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        FSDPStrategy(**settings)
    (problem,) = error.value.problems
    assert problem.argument in settings
    assert expected in f"{problem.reason} {problem.remedy}"


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        FSDPStrategy(sharding_strategy="NO_SHARD", cpu_offload=3, limit_all_gathers=True)  # type: ignore[arg-type]
    assert [one.argument for one in error.value.problems] == ["sharding_strategy", "cpu_offload", "limit_all_gathers"]


@pytest.mark.parametrize(
    "settings",
    [
        {"sharding_strategy": ShardingStrategy.SHARD_GRAD_OP, "cpu_offload": CPUOffload(offload_params=True)},
        {"cpu_offload": CPUOffloadPolicy(pin_memory=False), "mixed_precision": MixedPrecisionPolicy()},
        {"reshard_after_forward": 2, "auto_wrap_policy": nn.Linear, "state_dict_type": "sharded"},
    ],
    ids="-".join,
)
def test_torchs_own_objects_are_taken(settings: dict[str, Any]) -> None:
    assert FSDPStrategy(**settings).spec.name == "fsdp"


def test_the_alias_is_the_strategy_with_a_setting() -> None:
    assert (FSDP_CPU_OFFLOAD.target, FSDP_CPU_OFFLOAD.settings) == ("fsdp", {"cpu_offload": True})
    with pytest.raises(ConfigurationError, match="whole numbers"):
        FSDPStrategy(**FSDP_CPU_OFFLOAD.settings, sharding_strategy="HYBRID_SHARD", device_mesh=(2, 0))  # type: ignore[arg-type]


def test_the_spec_costs_no_import_of_torchs_sharding() -> None:
    code = "import sys, torch; import fulmen_strategy_fsdp; print('torch.distributed.fsdp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Model(nn.Module):
    """Attention, a list of blocks, and a head that shares the first layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 4, bias=False)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 8)) for _ in range(2)])
        self.attention = nn.MultiheadAttention(4, 1)
        self.head = nn.Linear(4, 4)
        self.head.weight = self.embed.weight


def sharded_parts(policy: Any, module: nn.Module) -> set[str]:
    """Return the names of the parts that a strategy with this policy gathers on their own."""
    strategy = started(FSDPStrategy(auto_wrap_policy=policy))
    strategy.prepare(PrepareRequest(module, nn.Sequential(module), list, FakePrecision()))
    strategy.teardown()
    return {name for name, one in module.named_modules() if type(one).__name__.startswith("FSDP")}


def started(strategy: FSDPStrategy, world: World | None = None) -> FSDPStrategy:
    accelerator = CPU_SPEC.create()
    strategy.start(Placement(world or World(), torch.device("cpu"), accelerator))
    return strategy


BLOCKS = {"blocks.0", "blocks.1"}
INSIDE = {f"blocks.{block}.{layer}" for block in (0, 1) for layer in (0, 1)}
POLICIES: dict[str, tuple[Any, set[str]]] = {
    "class": (nn.Sequential, BLOCKS),
    "classes": ({nn.Sequential, nn.MultiheadAttention}, BLOCKS | {"attention"}),
    "layers": ({nn.Linear}, INSIDE),  # none that is tied, and none within attention, which does not call its parts
    "torchs_classes": (ModuleWrapPolicy({nn.Sequential}), BLOCKS),
    "transformer": (partial(transformer_auto_wrap_policy, transformer_layer_cls={nn.Sequential}), BLOCKS),
    "torchs_size": (partial(size_based_auto_wrap_policy, min_num_params=30), {"blocks.0.1", "blocks.1.1"}),
    "size": (30, {"blocks.0.1", "blocks.1.1", "attention"}),
    "function": (lambda module: getattr(module, "out_features", 0) == 8, {"blocks.0.1", "blocks.1.1"}),
}


@pytest.mark.parametrize(("policy", "expected"), POLICIES.values(), ids=POLICIES)
def test_policies_choose_blocks(policy: Any, expected: set[str]) -> None:
    assert sharded_parts(policy, Model()) == expected


def test_a_policy_that_means_nothing_is_told() -> None:
    with pytest.warns(UserWarning, match="means no part of Model"):
        assert sharded_parts({nn.Conv2d}, Model()) == set()


def test_the_users_module_keeps_its_class_and_names() -> None:
    module = Model()
    names = [name for name, _ in module.named_parameters()]
    sharded_parts(nn.Sequential, module)
    assert type(module) is Model
    assert [name for name, _ in module.named_parameters()] == names
    assert list(module.state_dict()) == list(Model().state_dict())


def test_attention_can_be_made_without_memory() -> None:
    strategy = started(FSDPStrategy())
    with strategy.init_context(torch.device("cpu"), empty=True):
        module = nn.TransformerEncoderLayer(4, 2, 8)
    model = strategy.prepare(PrepareRequest(module, nn.Sequential(module), list, FakePrecision()))
    state = model.model_state_dict()
    strategy.teardown()
    assert state["self_attn.in_proj_weight"].std() > 0.1
    assert torch.equal(state["norm1.weight"], torch.ones(4))
    assert torch.equal(state["self_attn.out_proj.bias"], torch.zeros(4))


class Speechless(nn.Module):
    """Does not say how its weight begins."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.ones(2))


def prepare_on_one(strategy: FSDPStrategy, module: nn.Module) -> None:
    started(strategy)
    try:
        strategy.prepare(PrepareRequest(module, nn.Sequential(module), list, FakePrecision()))
    finally:
        strategy.teardown()


def test_a_module_without_memory_must_say_how_it_begins() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(2, 2), Speechless())
    with pytest.raises(ModuleError, match=r"1 \(Speechless\) of Sequential.*reset_parameters"):
        prepare_on_one(FSDPStrategy(), module)


def test_parameters_without_dimensions_are_refused_by_name() -> None:
    module = nn.Linear(1, 1)
    module.temperature = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ModuleError, match=r"temperature of Linear.*torch\.ones\(1\)"):
        prepare_on_one(FSDPStrategy(), module)


def test_a_mesh_must_hold_all_devices() -> None:
    mesh = FSDPStrategy(sharding_strategy="HYBRID_SHARD", device_mesh=(2, 2))
    with pytest.raises(ConfigurationError, match="2 × 2 devices are 4, but the run has 1"):
        prepare_on_one(mesh, nn.Linear(1, 1))
    with pytest.raises(ConfigurationError, match="nothing says how many devices share a copy"):
        prepare_on_one(FSDPStrategy(sharding_strategy="HYBRID_SHARD"), nn.Linear(1, 1))


def test_weights_are_given_back_to_groups_of_equal_size() -> None:
    with pytest.raises(ConfigurationError, match="not made of groups of 3"):
        prepare_on_one(FSDPStrategy(reshard_after_forward=3), nn.Linear(1, 1))


def test_a_sharded_module_cannot_be_sharded_otherwise() -> None:
    module = nn.Linear(1, 1)
    prepare_on_one(FSDPStrategy(), module)
    prepare_on_one(FSDPStrategy(), module)
    with pytest.raises(FulmenError, match="was sharded by an earlier run"):
        prepare_on_one(FSDPStrategy(mixed_precision=MixedPrecisionPolicy(param_dtype=torch.bfloat16)), module)


def test_weights_are_gathered_in_the_type_that_was_asked_for() -> None:
    seen: list[torch.dtype] = []

    class Looking(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(32, 2)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            outputs = self.layer(batch)
            seen.extend([self.layer.weight.dtype, outputs.dtype])
            return outputs.float().pow(2).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "precision": "bf16-mixed",
    }
    run = Trainer(
        accelerator="cpu", devices=1, strategy=FSDPStrategy(mixed_precision=policy), fast_dev_run=True, **quiet
    )
    module = Looking()
    run.fit(module, DataLoader(RandomDataset(), batch_size=2))
    assert seen == [torch.bfloat16, torch.bfloat16]
    assert module.layer.weight.dtype == torch.float32
