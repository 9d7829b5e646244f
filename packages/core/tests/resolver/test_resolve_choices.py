"""What a request without a mistake leads to."""

from __future__ import annotations

import pickle

import pytest

from fulmen_core.resolver import RunRequest, resolve
from fulmen_interfaces import (
    ACCELERATORS,
    STRATEGIES,
    AcceleratorSpec,
    BrokenPlugin,
    Catalogue,
    Entry,
    InProcessLauncher,
    LaunchSettings,
    Probe,
    StrategySpec,
    World,
)
from fulmen_testing import (
    FAKE_ACCELERATOR_SPEC,
    FAKE_STRATEGY_SPEC,
    FakeAccelerator,
    FakePrecision,
    FakeStrategy,
    fake_catalogue,
)


def chosen(plan):
    return plan.accelerator_spec.name, plan.strategy_spec.name, plan.precision_spec.name, len(plan.devices)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ("cuda", "ddp", "32-true", 2)),
        ({"devices": 1}, ("cuda", "single_device", "32-true", 1)),
        ({"accelerator": "cpu"}, ("cpu", "single_device", "32-true", 1)),
        ({"accelerator": "cpu", "devices": 3}, ("cpu", "ddp", "32-true", 3)),
        ({"accelerator": "gpu", "precision": 16}, ("cuda", "ddp", "16-mixed", 2)),
        ({"accelerator": "gpu", "strategy": "sharded"}, ("cuda", "sharded", "32-true", 2)),
        ({"precision": "bf16", "devices": "1"}, ("cuda", "single_device", "bf16-mixed", 1)),
        ({"strategy": "single_device"}, ("cuda", "single_device", "32-true", 1)),
        ({"devices": 1, "num_nodes": 2}, ("cuda", "ddp", "32-true", 1)),
        ({"accelerator": "CPU", "strategy": "DDP", "devices": " 2 "}, ("cpu", "ddp", "32-true", 2)),
    ],
)
def test_the_best_of_what_fits_is_chosen(machine, request_, expected):
    assert chosen(resolve(RunRequest(**request_), machine())) == expected


def test_auto_takes_the_highest_priority_that_is_available_and_says_what_it_left_out(machine):
    plan = resolve(RunRequest(), machine(cuda=0))
    assert chosen(plan) == ("cpu", "single_device", "32-true", 1)
    assert plan.notes == (
        "cuda is left out: No NVIDIA driver was found.",
        "mps is left out: This machine is no Mac.",
    )


def test_a_broken_accelerator_is_no_secret_when_auto_passes_over_it(machine):
    catalogue = machine()
    catalogue.register(
        ACCELERATORS, AcceleratorSpec(name="tpu", create=object, device_type="xla", probe=lambda: 1 / 0, priority=999)
    )
    assert any("ZeroDivisionError" in note for note in resolve(RunRequest(), catalogue).notes)


def test_auto_uses_fewer_devices_only_where_their_number_was_left_to_it(machine):
    lonely = machine(without=("ddp", "ddp_notebook", "sharded"))
    plan = resolve(RunRequest(), lonely)
    assert chosen(plan) == ("cuda", "single_device", "32-true", 1)
    assert plan.notes[-1].startswith("1 of 2 devices is used.")


def test_in_a_notebook_only_launchers_that_work_there_are_chosen(machine):
    assert resolve(RunRequest(), machine(), interactive=True).strategy_spec.name == "ddp_notebook"
    assert resolve(RunRequest(), machine(), interactive=False).strategy_spec.name == "ddp"


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("auto", (0, 1, 2, 3)),
        (-1, (0, 1, 2, 3)),
        ("-1", (0, 1, 2, 3)),
        (2, (0, 1)),
        ("3", (0, 1, 2)),
        ([2, 0], (2, 0)),
        ((1,), (1,)),
        ("0,2", (0, 2)),
        ("3,", (3,)),
    ],
)
def test_devices_are_numbers_or_indices(machine, devices, expected):
    assert resolve(RunRequest(accelerator="cuda", devices=devices), machine(cuda=4)).devices == expected


def test_devices_without_numbers_are_counted(machine):
    assert resolve(RunRequest(accelerator="cpu", devices=-1), machine()).devices == (0, 1, 2, 3)
    assert resolve(RunRequest(accelerator="cpu", devices=9), machine()).devices == tuple(range(9))


def test_an_alias_brings_its_settings(machine):
    catalogue = machine()
    made = []
    spec = StrategySpec(name="mine", create=lambda **settings: made.append(settings), priority=0)
    catalogue.register(STRATEGIES, spec)
    plan = resolve(RunRequest(accelerator="cpu", strategy="ddp_unused", devices=2), catalogue)
    assert plan.strategy.settings == {"find_unused_parameters": True}
    assert "ddp (find_unused_parameters=True)" in str(plan)


def test_objects_are_used_as_they_are():
    accelerator, strategy, precision = FakeAccelerator(), FakeStrategy(), FakePrecision()
    plan = resolve(RunRequest(accelerator, strategy, precision), fake_catalogue())
    assert plan.make_accelerator() is accelerator
    assert plan.make_strategy() is strategy
    assert plan.make_precision() is precision
    assert plan.accelerator_spec is FAKE_ACCELERATOR_SPEC
    assert plan.strategy_spec is FAKE_STRATEGY_SPEC
    assert plan.precision_spec.policy == precision.policy


def test_names_make_new_objects_each_time():
    plan = resolve(RunRequest(), fake_catalogue())
    assert isinstance(plan.make_accelerator(), FakeAccelerator)
    assert plan.make_strategy() is not plan.make_strategy()
    assert isinstance(plan.make_launcher(), InProcessLauncher)
    assert plan.make_environment() is None
    assert plan.world_size == 1


def test_a_missing_library_is_told_with_its_distribution(machine):
    def create():
        raise ImportError("No module named 'deepspeed'")

    catalogue = machine()
    catalogue.register(STRATEGIES, StrategySpec(name="deep", create=create, priority=0), distribution="dist-deep")
    plan = resolve(RunRequest(accelerator="cpu", strategy="deep"), catalogue)
    with pytest.raises(BrokenPlugin, match=r"'deep' of dist-deep .*No module named 'deepspeed'"):
        plan.make_strategy()


def test_the_plan_shows_every_choice_and_where_it_comes_from(machine):
    plan = resolve(RunRequest(precision="bf16-mixed", num_nodes=3), machine())
    lines = {line.split()[0]: line for line in str(plan).splitlines()}
    assert lines["accelerator"].split()[1:] == ["cuda", "dist-cuda", "1.0"]
    assert "cuda:0, cuda:1" in lines["devices"]
    assert lines["strategy"].split()[1:] == ["ddp", "dist-ddp", "1.0"]
    assert "bf16-mixed: weights in float32, autocast to bfloat16" in lines["precision"]
    assert "6 on 3 machines, started by subprocess" in lines["processes"]
    columns = {line.index(line.split()[1]) for line in lines.values()}
    assert len(columns) == 1


def test_a_plan_can_be_sent_to_another_process():
    plan = resolve(RunRequest(), fake_catalogue())
    assert str(pickle.loads(pickle.dumps(plan))) == str(plan)


def test_the_same_request_leads_to_the_same_plan_and_changes_nothing(machine):
    catalogue, request = machine(), RunRequest(devices=[1])
    first, second = resolve(request, catalogue), resolve(request, catalogue)
    assert first == second
    assert request == RunRequest(devices=[1])


def test_nothing_is_imported_but_what_was_named_and_what_it_needs(entries):
    loaded = []

    def watched(entry):
        def load():
            loaded.append(entry.name)
            return entry.load()

        return Entry(entry.name, entry.distribution, entry.version, load)

    offered = {group: [watched(entry) for entry in group_entries] for group, group_entries in entries().items()}
    resolve(RunRequest(accelerator="cpu", strategy="ddp", devices=2, precision="bf16"), Catalogue(offered))
    assert set(loaded) - {"cuda", "mps"} == {"cpu", "ddp", "subprocess", "bf16", "bf16-mixed"}


class Started:
    """An environment in which a scheduler has started the processes."""

    creates_processes = True
    main_address = "localhost"
    main_port = 29500

    def __init__(self, world):
        self._world = world

    def world(self):
        return self._world


def test_processes_that_exist_already_are_counted_and_joined(machine):
    environment = Started(World(rank=1, size=2, local_rank=1))
    plan = resolve(RunRequest("cpu", environment=environment), machine())
    assert plan.devices == (0, 1)
    assert plan.strategy_spec.name == "ddp"
    assert plan.launcher is None
    assert plan.make_environment() is environment
    assert plan.make_launcher().launch(lambda world: world, plan.launch_settings) == environment.world()


def test_joining_another_number_of_processes_is_an_error(machine):
    plan = resolve(RunRequest("cpu", environment=Started(World(size=2))), machine())
    with pytest.raises(RuntimeError, match="3 processes were planned, but 2 were started"):
        plan.make_launcher().launch(lambda world: world, LaunchSettings(3))


def test_a_probe_is_asked_once_per_resolution(machine):
    asked = []

    def probe():
        asked.append(1)
        return Probe(3)

    catalogue = machine()
    catalogue.register(
        ACCELERATORS, AcceleratorSpec(name="sim", create=object, device_type="sim", probe=probe, priority=1000)
    )
    resolve(RunRequest(devices=1), catalogue)
    assert asked == [1]
