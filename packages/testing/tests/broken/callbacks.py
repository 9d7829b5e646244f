"""Callbacks with one defect each, and the test that must find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fulmen_interfaces import Callback, CallbackRole, CallbackSpec
from fulmen_testing import CallbackConformance


class Misspelt(Callback):
    def on_train_epoch_stop(self, trainer: Any, pl_module: Any) -> None:
        pass


class ReachesIntoTheTrainer(Callback):
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        trainer.fit_loop  # noqa: B018


class WritesAlways(Callback):
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        Path(trainer.default_root_dir, "note").write_text("x")


class ForgetsItsState(Callback):
    count = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}


class StateIsAnObject(Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"self": self}


class NeedsAFit(Callback):
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.begun  # type: ignore[attr-defined]  # noqa: B018

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.begun = True


class OtherRole(Callback):
    role = CallbackRole.TIMER


class NoProgressBar(Callback):
    role = CallbackRole.PROGRESS_BAR


FOUND_BY = {
    Misspelt: "test_hooks_are_spelt_right",
    ReachesIntoTheTrainer: "test_goes_through_a_fit",
    WritesAlways: "test_trial_run_leaves_no_files",
    ForgetsItsState: "test_state_goes_through_a_file",
    StateIsAnObject: "test_state_goes_through_a_file",
    NeedsAFit: "test_bears_an_error_of_the_run",
    OtherRole: "test_implements_the_contract",
    NoProgressBar: "test_role_has_its_abilities",
}

for broken in FOUND_BY:
    name = f"Test{broken.__name__}"
    role = CallbackRole.PROGRESS_BAR if broken is NoProgressBar else None
    spec = CallbackSpec(name="broken", create=broken, summary="Broken.", role=role)
    globals()[name] = type(name, (CallbackConformance,), {"spec": spec, "__module__": __name__})
EXPECTED = {f"Test{broken.__name__}": test for broken, test in FOUND_BY.items()}
