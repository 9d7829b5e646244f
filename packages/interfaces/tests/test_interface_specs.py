from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fulmen_interfaces import (
    ALL_DTYPES,
    AcceleratorSpec,
    CallbackRole,
    DType,
    InProcessLauncher,
    LaunchSettings,
    Logger,
    LoggerSpec,
    Probe,
    ProgressBar,
    RunningStage,
    SingleProcessCollectives,
    StrategySpec,
    SupportsRandomState,
    World,
)


def create(**settings: object) -> Any:
    return settings


ACCELERATOR = AcceleratorSpec(name="chip", create=create, device_type="chip", probe=lambda: Probe(1), priority=5)


def test_a_new_accelerator_is_sound_by_default() -> None:
    assert ACCELERATOR.dtypes == ALL_DTYPES == set(DType)
    assert ACCELERATOR.autocast == frozenset()
    assert not ACCELERATOR.loss_scaling
    assert ACCELERATOR.process_group is None
    assert ACCELERATOR.indexed
    assert ACCELERATOR.auto_devices is None


def test_a_new_strategy_needs_a_process_group_and_has_no_limit() -> None:
    spec = StrategySpec(name="own", create=create, priority=1)
    assert spec.needs_process_group
    assert spec.max_devices is None
    assert spec.device_types is None
    assert spec.multi_node
    assert spec.refusals == ()


def test_specs_cannot_be_changed_and_take_keywords_alone() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ACCELERATOR.priority = 6  # type: ignore[misc]
    with pytest.raises(TypeError):
        LoggerSpec("csv", create)  # type: ignore[misc]
    assert ACCELERATOR.create(a=1) == {"a": 1}


def test_probe_is_available_if_it_counts_something() -> None:
    assert Probe(2).available
    assert not Probe(0, "There is no driver.").available


def test_world_knows_who_writes() -> None:
    assert World().is_global_zero
    assert World().is_local_zero
    second_machine = World(rank=4, size=8, local_rank=0, node_rank=1, num_nodes=2)
    assert not second_machine.is_global_zero
    assert second_machine.is_local_zero


def test_launching_in_this_process_calls_main_once() -> None:
    worlds: list[World] = []
    result = InProcessLauncher().launch(lambda world: worlds.append(world) or "done", LaunchSettings())
    assert result == "done"
    assert worlds == [World()]


def test_world_size_counts_all_machines() -> None:
    assert LaunchSettings(processes_per_node=4, num_nodes=3).world_size == 12


def test_collectives_of_one_process_return_what_they_get() -> None:
    collectives = SingleProcessCollectives()
    value = object()
    assert collectives.broadcast(value) is value
    assert collectives.gather_objects(value) == [value]


def test_evaluating_stages() -> None:
    assert {stage for stage in RunningStage if stage.evaluating} == {
        RunningStage.SANITY_CHECKING,
        RunningStage.VALIDATING,
        RunningStage.TESTING,
    }


def test_optional_abilities_are_seen_from_methods() -> None:
    class Able:
        def random_state(self) -> dict[str, object]:
            return {}

        def set_random_state(self, state: object) -> None:
            pass

    assert isinstance(Able(), SupportsRandomState)
    assert not isinstance(object(), SupportsRandomState)
    assert not isinstance(Able(), ProgressBar)


def test_loggers_need_four_members_and_save_at_the_end() -> None:
    class Least(Logger):
        name = "least"
        version = 0
        saves = 0

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            pass

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

        def save(self) -> None:
            self.saves += 1

    with pytest.raises(TypeError, match="abstract"):
        Logger()  # type: ignore[abstract]
    logger = Least()
    logger.finalize("finished")
    assert logger.saves == 1
    assert logger.log_dir is logger.save_dir is logger.root_dir is logger.experiment is None


def test_roles_are_plain_words() -> None:
    assert [role.value for role in CallbackRole][:2] == ["checkpoint", "progress_bar"]
