"""What is said about a request that cannot be met."""

from __future__ import annotations

import pytest

from fulmen_core.resolver import RunRequest, resolve
from fulmen_interfaces import (
    ACCELERATORS,
    CLUSTER_ENVIRONMENTS,
    STRATEGIES,
    Catalogue,
    ClusterEnvironmentSpec,
    ConfigurationError,
    Entry,
    Refusal,
    StrategySpec,
    World,
)
from fulmen_testing import FakeStrategy


def error_of(catalogue, interactive=False, **request):
    with pytest.raises(ConfigurationError) as caught:
        resolve(RunRequest(**request), catalogue, interactive=interactive)
    return caught.value


def problem_of(catalogue, interactive=False, **request):
    error = error_of(catalogue, interactive, **request)
    assert len(error.problems) == 1, str(error)
    return error.problems[0]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"strategy": "dpp"}, [("strategy", "Did you mean 'ddp'?")]),
        ({"strategy": "shraded"}, [("strategy", "Did you mean 'sharded'?")]),
        ({"strategy": "dp"}, [("strategy", "Write strategy='ddp'.")]),
        ({"strategy": "fsdp2"}, [("strategy", "`pip install fulmen-strategy-fsdp` brings it.")]),
        ({"strategy": "fsdp"}, [("strategy", "`pip install fulmen-strategy-fsdp` brings it.")]),
        ({"strategy": "gpu"}, [("strategy", "write accelerator='gpu'")]),
        ({"strategy": None}, [("strategy", "Leave strategy out")]),
        ({"strategy": FakeStrategy}, [("strategy", "Write strategy=FakeStrategy().")]),
        ({"strategy": 3}, [("strategy", "neither a name nor a Strategy object")]),
        ({"accelerator": "cuad"}, [("accelerator", "Did you mean 'cuda'?")]),
        ({"accelerator": "cuda:1"}, [("accelerator", "Write accelerator='cuda', devices=[1].")]),
        ({"accelerator": "ddp"}, [("accelerator", "write strategy='ddp'")]),
        ({"accelerator": "mps"}, [("accelerator", "This machine is no Mac.")]),
        ({"accelerator": "tpu"}, [("accelerator", "vendor's distribution")]),
        ({"precision": "fp16"}, [("precision", "Write precision='16-mixed'")]),
        ({"precision": "bfloat16"}, [("precision", "Write precision='bf16-mixed'")]),
        ({"precision": "torch.float32"}, [("precision", "Write precision='32-true'")]),
        ({"precision": "tf32"}, [("precision", "torch.set_float32_matmul_precision")]),
        ({"precision": "bf16_mixed"}, [("precision", "Did you mean 'bf16-mixed'?")]),
        ({"precision": 8}, [("precision", "There is no precision '8'")]),
        ({"devices": 0}, [("devices", "at least one device")]),
        ({"devices": -3}, [("devices", "at least one device")]),
        ({"devices": True}, [("devices", "This bool does not say")]),
        ({"devices": 1.5}, [("devices", "This float does not say")]),
        ({"devices": None}, [("devices", "or write 'auto'")]),
        ({"devices": ""}, [("devices", "empty")]),
        ({"devices": []}, [("devices", "names no device")]),
        ({"devices": "two"}, [("devices", "neither a number nor")]),
        ({"devices": [0, 0]}, [("devices", "names a device twice")]),
        ({"devices": [-1]}, [("devices", "numbers from 0 on")]),
        ({"devices": 5}, [("devices", "Only 2 cuda devices exist here: 0, 1.")]),
        ({"devices": [0, 7]}, [("devices", "There is no cuda device 7.")]),
        ({"accelerator": "cpu", "devices": [0, 1]}, [("devices", "devices=2 runs 2 processes.")]),
        ({"num_nodes": 0}, [("num_nodes", "whole number from 1 on")]),
        ({"num_nodes": "2"}, [("num_nodes", "Write num_nodes=2.")]),
        ({"accelerator": "cpu", "precision": "16-mixed"}, [("precision", "autocast cannot use float16 on cpu")]),
        ({"strategy": "single_device", "devices": 2}, [("devices", "single_device uses one device, not 2.")]),
        ({"strategy": "single_device", "devices": 1, "num_nodes": 2}, [("num_nodes", "works on one machine only")]),
        ({"accelerator": "cpu", "strategy": "sharded"}, [("strategy", "sharded runs on cuda, not on cpu.")]),
        ({"strategy": "sharded", "precision": "16-mixed"}, [("precision", "sharded cannot keep weights in float32")]),
        (
            {"accelerator": "cpu", "strategy": "dpp", "precision": "fp16", "devices": 0, "num_nodes": 0},
            [("strategy", "ddp"), ("precision", "16-mixed"), ("devices", "at least"), ("num_nodes", "from 1 on")],
        ),
        (
            {"accelerator": "mps", "strategy": "ddp", "precision": 64, "devices": 2},
            [
                ("accelerator", "no Mac"),
                ("strategy", "mps cannot take part"),
                ("precision", "cannot compute in float64"),
            ],
        ),
    ],
)
def test_every_problem_is_told_with_its_argument(machine, request_, expected):
    error = error_of(machine(), **request_)
    assert [problem.argument for problem in error.problems] == [argument for argument, _ in expected], str(error)
    for problem, (_, phrase) in zip(error.problems, expected, strict=True):
        assert phrase in str(problem)


def test_a_remedy_names_values_that_were_tried(machine):
    problem = problem_of(machine(), accelerator="cpu", precision=16)
    assert problem.remedy.startswith("precision='bf16-mixed' or '16-true'")


def test_a_family_without_devices_says_why_for_each_member(machine):
    problem = problem_of(machine(cuda=0), accelerator="gpu")
    assert "cuda: No NVIDIA driver was found." in problem.reason
    assert "mps: This machine is no Mac." in problem.reason
    assert problem.remedy == "accelerator='cpu' would work."


def test_without_any_plugin_the_distributions_are_named():
    text = str(error_of(Catalogue()))
    assert "pip install fulmen-accelerator-cpu" in text
    assert "pip install fulmen-precision" in text


def test_without_a_strategy_for_several_devices_the_distribution_is_named(machine):
    lonely = machine(without=("ddp", "ddp_notebook", "sharded"))
    problem = problem_of(lonely, devices=2)
    assert problem.argument == "strategy"
    assert "single_device uses one device, not 2." in problem.reason
    assert problem.remedy == "`pip install fulmen-strategy-ddp` brings 'ddp', for several devices."


def test_suggestions_change_as_little_as_possible(machine):
    assert error_of(machine(), strategy="dpp", devices=1).suggestions[0] == 'Trainer(strategy="ddp", devices=1)'
    assert error_of(machine(), accelerator="cuda:1").suggestions == ('Trainer(accelerator="cuda", devices=[1])',)
    assert error_of(machine(), precision="fp16").suggestions == ('Trainer(precision="16-mixed")',)
    assert 'Trainer(accelerator="cpu", devices=5)' in error_of(machine(), devices=5).suggestions


def test_in_a_notebook_a_launcher_that_reruns_the_script_is_refused(machine):
    problem = problem_of(machine(), interactive=True, strategy="ddp")
    assert "does not work in notebooks" in problem.reason
    assert "'ddp_notebook'" in problem.remedy


def test_a_launcher_that_is_not_installed_is_told(machine):
    problem = problem_of(machine(without=("subprocess",)), strategy="ddp", devices=2)
    assert "launcher 'subprocess'" in problem.reason
    assert "torchrun" in problem.remedy


def test_a_strategy_that_starts_nothing_needs_processes(machine):
    catalogue = machine()
    catalogue.register(STRATEGIES, StrategySpec(name="bare", create=object, priority=0))
    assert "torchrun" in problem_of(catalogue, strategy="bare", devices=2).remedy


def test_an_authors_refusal_is_passed_on(machine):
    refusal = Refusal(
        reason="Half precision diverges on CPUs.",
        remedy="Use bf16-true.",
        device_types=frozenset({"cpu"}),
        precisions=frozenset({"16-true"}),
    )
    catalogue = machine()
    catalogue.register(STRATEGIES, StrategySpec(name="picky", create=object, priority=0, refusals=(refusal,)))
    problem = problem_of(catalogue, accelerator="cpu", strategy="picky", precision="16-true")
    assert (problem.argument, problem.reason, problem.remedy) == ("precision", refusal.reason, refusal.remedy)
    resolve(RunRequest("cuda", "picky", "16-true", 1), catalogue)
    resolve(RunRequest("cpu", "picky", "bf16-true"), catalogue)


def broken_entry(name, distribution="dist-broken"):
    def load():
        raise ImportError("libfoo.so is missing")

    return Entry(name, distribution, "1.0", load)


def test_a_broken_plugin_is_a_problem_with_its_distribution(entries):
    offered = entries()
    offered[STRATEGIES.group].append(broken_entry("broken"))
    catalogue = Catalogue(offered)
    problem = problem_of(catalogue, strategy="broken")
    assert "dist-broken" in problem.reason
    assert "libfoo.so is missing" in problem.reason
    assert resolve(RunRequest(strategy="ddp"), catalogue).strategy_spec.name == "ddp"


def test_two_distributions_with_one_name_are_a_problem_that_names_both(entries):
    offered = entries()
    offered[ACCELERATORS.group].append(broken_entry("cuda", "dist-other"))
    catalogue = Catalogue(offered)
    problem = problem_of(catalogue, accelerator="cuda")
    assert "dist-cuda" in problem.reason
    assert "dist-other" in problem.reason


class Started:
    creates_processes = True
    main_address = "localhost"
    main_port = 29500

    def world(self):
        return World(rank=0, size=4, num_nodes=2)


class Garbled(Started):
    def world(self):
        raise ValueError("RANK is 'x'")


def environment_spec(create):
    return ClusterEnvironmentSpec(name="cluster", create=create, detect=lambda: True)


@pytest.mark.parametrize(
    ("request_", "argument", "phrase"),
    [
        ({}, "num_nodes", "Write num_nodes=2."),
        ({"num_nodes": 2, "devices": 1}, "devices", "Write devices=2 or 'auto'"),
        ({"num_nodes": 2, "strategy": "single_device"}, "num_nodes", "one machine only"),
    ],
)
def test_processes_that_were_started_otherwise_are_not_overlooked(machine, request_, argument, phrase):
    catalogue = machine()
    catalogue.register(CLUSTER_ENVIRONMENTS, environment_spec(Started))
    error = error_of(catalogue, accelerator="cpu", **request_)
    assert any(problem.argument == argument and phrase in str(problem) for problem in error.problems), str(error)


def test_an_environment_that_tells_nothing_sensible_is_a_problem(machine):
    catalogue = machine()
    catalogue.register(CLUSTER_ENVIRONMENTS, environment_spec(Garbled))
    problem = problem_of(catalogue, accelerator="cpu")
    assert problem.argument == "environment"
    assert "RANK is 'x'" in problem.reason


def test_too_few_devices_for_the_processes_that_were_started(machine):
    catalogue = machine(cuda=1)
    catalogue.register(CLUSTER_ENVIRONMENTS, environment_spec(Started))
    problem = problem_of(catalogue, accelerator="cuda", num_nodes=2)
    assert problem.remedy == "Start one process for each device."
