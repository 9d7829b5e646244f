"""What every callback must do."""
# ruff: noqa: S101

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from fulmen_interfaces import (
    CALLBACKS,
    Callback,
    CallbackOrder,
    CallbackRole,
    CallbackSpec,
    CheckpointCallback,
    Hook,
    ProgressBar,
)
from fulmen_testing._boring import BoringModule
from fulmen_testing._fake_trainer import FakeTrainer
from fulmen_testing._play import play_fit
from fulmen_testing.conformance._base import Conformance


class CallbackConformance(Conformance):
    """Takes the callback through a small fit of a trainer that trains nothing."""

    role = CALLBACKS
    spec: ClassVar[CallbackSpec]

    @pytest.fixture
    def trainer(self, tmp_path: Path) -> FakeTrainer:
        """The trainer that hooks receive; override it where the callback watches a metric of another name."""
        metrics = {"train_loss": torch.tensor(0.5), "val_loss": torch.tensor(0.25)}
        return FakeTrainer(default_root_dir=str(tmp_path), callback_metrics=metrics, logged_metrics=metrics)

    @pytest.fixture
    def module(self) -> BoringModule:
        """The module that hooks receive."""
        return BoringModule()

    def test_implements_the_contract(self, plugin: Any) -> None:
        """If it fails: derive from `Callback`, and give spec and class the same role."""
        assert isinstance(plugin, Callback)
        assert plugin.role is self.spec.role
        assert isinstance(plugin.order, CallbackOrder)

    def test_role_has_its_abilities(self, plugin: Callback) -> None:
        """If it fails: other parts rely on what a checkpoint callback and a progress bar can be asked."""
        if self.spec.role is CallbackRole.CHECKPOINT:
            assert isinstance(plugin, CheckpointCallback)
            assert plugin.order is CallbackOrder.CHECKPOINT
        if self.spec.role is CallbackRole.PROGRESS_BAR:
            assert isinstance(plugin, ProgressBar)

    def test_hooks_are_spelt_right(self, plugin: Callback) -> None:
        """If it fails: a method whose name begins like a hook's but is none is never called."""
        known = {hook.value for hook in Hook}
        names = [name for name in dir(type(plugin)) if name.startswith("on_")]
        assert [name for name in names if name not in known] == []

    def test_goes_through_a_fit(self, plugin: Callback, trainer: FakeTrainer, module: BoringModule) -> None:
        """If it fails: hooks receive a trainer and a module that offer `TrainerView` and `ModuleView`, no more."""
        play_fit(plugin, trainer, module)

    def test_bears_an_error_of_the_run(self, plugin: Callback, trainer: FakeTrainer, module: BoringModule) -> None:
        """If it fails: after an error only `on_exception` and `teardown` follow, perhaps right after `setup`."""
        plugin.setup(trainer, module, "fit")
        plugin.on_exception(trainer, module, RuntimeError("failed early"))
        plugin.teardown(trainer, module, "fit")

    def test_trial_run_leaves_no_files(
        self, plugin: Callback, trainer: FakeTrainer, module: BoringModule, tmp_path: Path
    ) -> None:
        """If it fails: with `trainer.fast_dev_run` nothing may be written."""
        trainer.fast_dev_run = 1
        play_fit(plugin, trainer, module, epochs=1)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_state_goes_through_a_file(
        self, plugin: Callback, trainer: FakeTrainer, module: BoringModule, settings: Any
    ) -> None:
        """If it fails: the state must be tensors and plain values; a new callback that loads it must return it."""
        play_fit(plugin, trainer, module)
        file = io.BytesIO()
        torch.save(plugin.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        other = self.spec.create(**settings)
        assert other.state_key == plugin.state_key
        other.setup(trainer, module, "fit")
        other.load_state_dict(state)
        assert plain(other.state_dict()) == plain(plugin.state_dict())


def plain(state: Any) -> Any:
    """Return a state in which tensors are lists, so that states can be compared."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [plain(value) for value in state]
    return state.tolist() if isinstance(state, torch.Tensor) else state
