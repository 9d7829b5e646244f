"""What is asked for and cannot be: each refusal names the argument, the reason and what would work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_core.resolver import RunRequest, resolve
from fulmen_interfaces import STRATEGIES, Catalogue, ConfigurationError, ModuleError
from fulmen_strategy_deepspeed import DEEPSPEED_NVME_SPEC, DEEPSPEED_SPEC, DeepSpeedStrategy
from fulmen_strategy_deepspeed._scaling import load_scaler_state, scaler_state

QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False, "logger": False}


class Small(LightningModule):
    def __init__(self, make: Callable[[nn.Module], Any] | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.make = make or (lambda module: torch.optim.SGD(module.parameters(), lr=0.1))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.layer(batch[0]).mean()

    def configure_optimizers(self) -> Any:
        return self.make(self)


def fit(module: LightningModule, strategy: DeepSpeedStrategy, **arguments: Any) -> None:
    trainer = Trainer(
        **{"accelerator": "cpu", "devices": 1, "strategy": strategy, "max_epochs": 1, **QUIET, **arguments}
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(2, 2)), batch_size=1))


def problems(call: Callable[[], object]) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigurationError) as error:
        call()
    return [(one.argument, one.reason, one.remedy) for one in error.value.problems]


@pytest.mark.parametrize(
    ("arguments", "argument", "words"),
    [
        ({"stagee": 2}, "stagee", "Did you mean 'stage'"),
        ({"config": {"zero_optimisation": {}}}, "config['zero_optimisation']", "Did you mean 'zero_optimization'"),
        ({"config": {"gradient_clipping": "much"}}, "config['gradient_clipping']", "valid number"),
        ({"config": {"optimizer": {"params": {}}}}, "config['optimizer']['type']", "Field required"),
        ({"config": {"zero_optimization": 3}}, "config['zero_optimization']", "valid dictionary"),
        ({"config": {"train_batch_size": 8}}, "config['train_batch_size']", "follows from the loaders"),
        ({"config": {"zero_optimization": {"stage": 0}}}, "stage", "Stage 0 divides nothing"),
        ({"offload_parameters": True}, "offload_parameters", "Stage 2 keeps all weights"),
        ({"stage": 3, "config": {"zero_optimization": {"stage": 2}}}, "stage", "zero_optimization.stage=2"),
        ({"config": "/nowhere/at/all.json"}, "config", "cannot be read as JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) and "config" in value else None,
)
def test_arguments_and_config_are_checked_when_the_strategy_is_made(
    arguments: dict[str, Any], argument: str, words: str
) -> None:
    ((found, reason, remedy),) = problems(lambda: DeepSpeedStrategy(**arguments))
    assert found == argument
    assert words in reason
    assert remedy.endswith(".")


def test_all_problems_are_told_at_once() -> None:
    found = problems(lambda: DeepSpeedStrategy(stages=1, config={"bf17": {}, "gradient_clipping": -1}))  # type: ignore[call-arg]
    assert [argument for argument, _, _ in found] == ["stages", "config['gradient_clipping']", "config['bf17']"]


def test_config_is_read_from_a_file_also_one_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps({"zero_optimization": {"stage": 3, "sub_group_size": "auto"}, "train_batch_size": "auto"})
    )
    by_path = DeepSpeedStrategy(config=file)
    monkeypatch.setenv("PL_DEEPSPEED_CONFIG_PATH", str(file))
    by_variable = DeepSpeedStrategy(reduce_bucket_size=1000)
    assert by_path.stage == by_variable.stage == 3
    assert by_path.config["zero_optimization"]["sub_group_size"] == 10**12
    assert by_path.config["zero_optimization"]["reduce_bucket_size"] == 200_000_000
    assert by_variable.config["zero_optimization"]["reduce_bucket_size"] == 1000
    file.write_text("[1]")
    assert "holds a list" in problems(lambda: DeepSpeedStrategy(config=file))[0][1]


def test_settings_become_entries_of_the_config_that_was_given() -> None:
    given = {"fp16": {"hysteresis": 3}}
    strategy = DeepSpeedStrategy(
        stage=3,
        offload_optimizer=True,
        offload_parameters=True,
        initial_scale_power=8,
        cpu_checkpointing=True,
        config=given,
    )
    config = strategy.config
    assert config["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert config["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert config["fp16"] == {"hysteresis": 3, "initial_scale_power": 8}
    assert config["activation_checkpointing"]["cpu_checkpointing"] is True
    assert given == {"fp16": {"hysteresis": 3}}, "what the user holds must be left as it is"


@pytest.mark.parametrize(
    ("config", "arguments", "argument"),
    [
        ({"gradient_clipping": 1.0}, {"gradient_clip_val": 0.5}, "gradient_clip_val"),
        ({"gradient_accumulation_steps": 4}, {"accumulate_grad_batches": 2}, "accumulate_grad_batches"),
        ({"fp16": {"enabled": True}}, {"precision": "bf16-mixed"}, "precision"),
        ({"bf16": {"enabled": True}}, {}, "precision"),
        ({"torch_autocast": {"enabled": True}}, {}, "precision"),
        ({"zero_optimization": {"stage": 2, "reduce_buckets": 3}}, {}, "config['zero_optimization']['reduce_buckets']"),
        ({"bf16": {"enable": True}}, {}, "config['bf16']['enable']"),
        ({"optimizer": {"type": "Adam"}}, {}, "configure_optimizers"),
        (
            {"zero_optimization": {"stage": 1}, "data_types": {"grad_accum_dtype": "fp32"}},
            {"precision": "bf16-true"},
            "config['data_types']['grad_accum_dtype']",
        ),
    ],
    ids=["clipping", "accumulation", "fp16", "bf16", "autocast", "zero", "section", "optimizer", "sums"],
)
def test_a_config_that_says_otherwise_than_the_trainer_is_refused(
    config: dict[str, Any], arguments: dict[str, Any], argument: str
) -> None:
    ((found, reason, remedy),) = problems(lambda: fit(Small(), DeepSpeedStrategy(config=config), **arguments))
    assert found == argument
    assert reason
    assert remedy


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda one: [torch.optim.SGD([one.layer.weight], 0.1), torch.optim.SGD([one.layer.bias], 0.1)],
            "one optimizer",
        ),
        (lambda one: torch.optim.LBFGS(one.parameters()), "several times"),
        (lambda one: torch.optim.Adagrad(one.parameters()), "another Adagrad"),
        (lambda one: torch.optim.SGD(one.requires_grad_(False).parameters(), 0.1), "None of its parameters is trained"),
        (
            lambda one: torch.optim.SGD(
                [{"params": [one.layer.weight]}, {"params": [one.layer.bias.requires_grad_(False)]}], 0.1
            ),
            "of group 1 is trained",
        ),
    ],
    ids=["several", "closure", "adagrad", "frozen", "frozen group"],
)
def test_optimizers_that_zero_cannot_step_are_refused(make: Callable[[nn.Module], Any], words: str) -> None:
    ((argument, reason, remedy),) = problems(lambda: fit(Small(make), DeepSpeedStrategy()))
    assert argument == "configure_optimizers"
    assert words in reason
    assert remedy


def test_an_optimizer_that_cannot_be_offloaded_is_refused_where_the_config_insists() -> None:
    strategy = DeepSpeedStrategy(offload_optimizer=True, config={"zero_force_ds_cpu_optimizer": True})
    ((argument, _, remedy),) = problems(lambda: fit(Small(), strategy))
    assert argument == "configure_optimizers"
    assert "DeepSpeedCPUAdam" in remedy
    assert "zero_force_ds_cpu_optimizer" in remedy


@pytest.mark.parametrize(("kind", "warnings"), [(torch.optim.Adam, 1), (torch.optim.SGD, 0)])
def test_a_faster_optimizer_is_named_once_where_there_is_one(
    kind: type[torch.optim.Optimizer], warnings: int, recwarn: pytest.WarningsRecorder
) -> None:
    fit(Small(lambda one: kind(one.parameters(), lr=0.1)), DeepSpeedStrategy(offload_optimizer=True))  # type: ignore[call-arg]
    assert sum("DeepSpeedCPUAdam" in str(one.message) for one in recwarn) == warnings


def test_backward_of_more_than_a_loss_is_refused() -> None:
    class Twice(Small):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
            self.manual_backward(self.layer(batch[0]).mean(), create_graph=True)

    with pytest.raises(ModuleError, match="create_graph"):
        fit(Twice(), DeepSpeedStrategy())


@pytest.mark.parametrize("stage", [2, 3])
def test_parameters_that_are_added_during_a_run_are_refused(stage: Literal[2, 3]) -> None:
    class Adding(Small):
        def __init__(self) -> None:
            super().__init__(lambda one: torch.optim.SGD([one.layer.weight], lr=0.1))
            self.layer.bias.requires_grad_(False)

        def on_train_start(self) -> None:
            self.layer.bias.requires_grad_(True)
            self.optimizers().optimizer.add_param_group({"params": [self.layer.bias]})  # type: ignore[union-attr]

    with pytest.raises(ModuleError, match="when it begins"):
        fit(Adding(), DeepSpeedStrategy(stage=stage))


def test_a_parameter_without_dimensions_is_refused_by_name() -> None:
    module = Small()
    module.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ModuleError, match="scale is a parameter without dimensions"):
        fit(module, DeepSpeedStrategy())


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_only_a_step_drops_gradients(stage: Literal[1, 2, 3], offload: bool) -> None:
    class Clearing(Small):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
            for _ in range(3):
                self.manual_backward(self.layer(batch[0]).mean())
                self.optimizers().zero_grad()  # type: ignore[union-attr]
            self.optimizers().step()  # type: ignore[union-attr]

    module = Clearing()
    before = module.layer.weight.detach().clone()
    fit(module, DeepSpeedStrategy(stage=stage, offload_optimizer=offload))
    torch.testing.assert_close(module.layer.weight, before - 2 * 3 * 0.1)


@pytest.mark.parametrize(
    ("strategy", "precision", "words"),
    [
        ("deepspeed_stage_3_offload_nvme", "32-true", "NVMe"),
        ("deepspeed_stage_2", "16-mixed", "float16"),
        ("deepspeed", "16-true", "cannot convert a model to float16"),
        ("deepspeed_stage_1", "64-true", "cannot convert a model to float64"),
    ],
)
def test_what_runs_on_no_cpu_is_refused_before_anything_starts(strategy: str, precision: str, words: str) -> None:
    request = RunRequest(accelerator="cpu", strategy=strategy, precision=precision, devices=2)
    ((_, reason, _),) = problems(lambda: resolve(request, Catalogue.installed()))
    assert words in reason


def test_every_name_leads_to_its_stage() -> None:
    catalogue = Catalogue.installed()
    found = {}
    for name in (one for one in catalogue.names(STRATEGIES) if one.startswith("deepspeed")):
        resolved = catalogue.find(STRATEGIES, name)
        strategy = resolved.spec.create(**resolved.settings)
        assert isinstance(strategy, DeepSpeedStrategy)
        zero = strategy.config["zero_optimization"]
        found[name] = (
            strategy.stage,
            *(zero.get(key, {}).get("device") for key in ("offload_optimizer", "offload_param")),
        )
        assert strategy.spec is (DEEPSPEED_NVME_SPEC if name.endswith("nvme") else DEEPSPEED_SPEC)
    assert found == {
        "deepspeed": (2, None, None),
        "deepspeed_stage_1": (1, None, None),
        "deepspeed_stage_1_offload": (1, "cpu", None),
        "deepspeed_stage_2": (2, None, None),
        "deepspeed_stage_2_offload": (2, "cpu", None),
        "deepspeed_stage_3": (3, None, None),
        "deepspeed_stage_3_offload": (3, "cpu", "cpu"),
        "deepspeed_stage_3_offload_nvme": (3, "nvme", "nvme"),
    }


def test_making_the_strategy_imports_no_deepspeed() -> None:
    import subprocess
    import sys

    code = "import sys, fulmen_strategy_deepspeed as f; f.DeepSpeedStrategy(stage=3); print('deepspeed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_run_that_fails_leaves_the_next_one_alone() -> None:
    class Failing(Small):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            super().training_step(batch, batch_idx)
            raise KeyError("enough")

    for stage in (2, 3):
        strategy = DeepSpeedStrategy(stage=stage)  # type: ignore[arg-type]
        with pytest.raises(KeyError, match="enough"):
            fit(Failing(), strategy)
        module = Small()
        before = module.layer.weight.detach().clone()
        fit(module, strategy)
        torch.testing.assert_close(module.layer.weight, before - 0.2)


class Checkpointed(Small):
    def __init__(self, within: bool) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.first, self.within = nn.Linear(2, 2), within

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        features = batch[0].clone().requires_grad_()
        if not self.within:
            return self.layer(torch.tanh(self.first(features))).pow(2).mean()
        import deepspeed

        hidden = deepspeed.checkpointing.checkpoint(lambda values: torch.tanh(self.first(values)), features)
        return self.layer(hidden).pow(2).mean()


@pytest.mark.parametrize("stage", [2, 3])
def test_activation_checkpointing_computes_the_same(stage: Literal[2, 3]) -> None:
    found = []
    for within in (False, True):
        module = Checkpointed(within)
        fit(module, DeepSpeedStrategy(stage=stage, synchronize_checkpoint_boundary=within))
        found.append(module.first.weight.detach().clone())
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("name", ["partition_activations", "cpu_checkpointing", "contiguous_memory_optimization"])
def test_what_deepspeed_does_with_activations_of_gpus_is_refused_on_cpus(name: str) -> None:
    strategy = DeepSpeedStrategy(config={"activation_checkpointing": {name: True}})
    ((argument, _, remedy),) = problems(lambda: fit(Checkpointed(True), strategy))
    assert argument == name
    assert "Leave it out" in remedy


def test_the_state_of_the_loss_scaler_fits_torchs() -> None:
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler

    scaler = DynamicLossScaler(2.0**16, scale_window=5, min_scale=1, delayed_shift=2, consecutive_hysteresis=False)
    for overflow in (True, True, False, False, False):
        scaler.update_scale(overflow)
    state = scaler_state(scaler)
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(state)
    assert theirs.get_scale() == scaler.cur_scale == 2.0**15
    assert (theirs.get_growth_interval(), theirs.get_growth_factor(), theirs.get_backoff_factor()) == (5, 2.0, 0.5)

    other = DynamicLossScaler(2.0**4, scale_window=5, min_scale=1, delayed_shift=2, consecutive_hysteresis=False)
    load_scaler_state(other, state)
    for overflow in (False, False, False, True, False):
        scaler.update_scale(overflow)
        other.update_scale(overflow)
        assert other.cur_scale == scaler.cur_scale
    load_scaler_state(other, theirs.state_dict())
    assert other.cur_scale == 2.0**15
    assert scaler_state(LossScaler(1.0)) == {}
