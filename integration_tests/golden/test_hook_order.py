"""The order of all hooks equals what was recorded of Lightning 2.6.6, but for the differences that are told here.

`hook_order.json` holds the recorded calls: `C.` a callback, `M.` the module, `D.` the data module, `K.` a
ModelCheckpoint, `E.` an EarlyStopping, all of which implement every hook. Unless a case says otherwise it fits two
epochs of three batches, with two validation batches and one optimizer whose scheduler steps by epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from recorded_modules import MODULES, Data, Module, TwoLoadersData, loader, recording

import fulmen as L
from fulmen.callbacks import Callback, EarlyStopping, ModelCheckpoint
from fulmen_interfaces import Hook
from fulmen_testing import GoldenCase, golden_cases

CASES = golden_cases(Path(__file__).parent / "hook_order.json")
SECOND_FIT = "--second-fit--"
WATCHERS = ("E.", "K.")

pytestmark = [
    pytest.mark.filterwarnings("ignore:The checkpoint holds states of callbacks that this run does not have"),
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step"),
]

LOADERS = ["train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"]
TRANSFER = ["on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"]
PRIMITIVES = [
    *["optimizer_step", "optimizer_zero_grad", "backward", "configure_gradient_clipping", "lr_scheduler_step"],
    *["on_validation_model_zero_grad", "on_validation_model_eval", "on_validation_model_train"],
    *["on_test_model_eval", "on_test_model_train", "on_predict_model_eval"],
]
"""Hooks of the module that do something by themselves: the loop has a shorter way where they are not overridden."""
OF_DATA = ["prepare_data", "setup", "teardown", *LOADERS, *TRANSFER]
OF_MODULE = [hook.value for hook in Hook if callable(getattr(L.LightningModule, hook.value, None))]
OF_CALLBACKS = [*(hook.value for hook in Hook if hasattr(Callback, hook.value)), "state_dict", "load_state_dict"]
OF_DATAMODULE = [*OF_DATA, "on_exception", "state_dict", "load_state_dict"]


# ---------------------------------------------------------------- where we differ, and why


def teardown_follows_errors(calls: list[str]) -> list[str]:
    """Whoever opened something in `setup` can close it in `teardown`, however the run ended."""
    return [*calls, "D.teardown(fit)", "C.teardown(fit)", "M.teardown(fit)"]


def watchers_come_after_the_module(calls: list[str]) -> list[str]:
    """What a checkpoint holds, and what ends training, then includes what the module did in the same hook."""
    late = ("on_train_batch_end", "on_validation_end", "on_train_end", "on_train_epoch_end")
    ordered: list[str] = []
    for hook, group in groupby(calls, lambda call: call.partition(".")[2]):
        one = list(group)
        ordered += sorted(one, key=lambda call: call.startswith(WATCHERS)) if hook in late else one
    return ordered


def a_second_fit_trains(calls: list[str]) -> list[str]:
    """Calling `fit` again is a wish to train again, so everything happens as the first time."""
    first = calls[: calls.index(SECOND_FIT)]
    return [*first, SECOND_FIT, *first]


def loaders_are_asked_for_together(calls: list[str]) -> list[str]:
    """Loaders that are asked for again are all there before the epoch: its length decides when validation is due."""
    asked_in_training = len(calls) - 1 - calls[::-1].index("D.val_dataloader")
    without = [call for at, call in enumerate(calls) if at != asked_in_training]
    at = len(without) - without[::-1].index("D.train_dataloader")
    return [*without[:at], "D.val_dataloader", *without[at:]]


DIFFERENCES: dict[str, Callable[[list[str]], list[str]]] = {
    "fit_raises_at_batch_1": teardown_follows_errors,
    "fit_keyboard_interrupt": teardown_follows_errors,
    "fit_checkpoint_default": watchers_come_after_the_module,
    "fit_checkpoint_monitor_early_stopping": watchers_come_after_the_module,
    "fit_twice_same_trainer": a_second_fit_trains,
    "fit_reload_dataloaders_1": loaders_are_asked_for_together,
}
"""Every case whose order differs on purpose; all others are equal."""


# ---------------------------------------------------------------- the runs


class Play:
    """One case, played. `leave_out` are hooks that the module does not override."""

    def __init__(self, given: dict[str, Any], folder: Path, leave_out: Iterable[str] = ()) -> None:
        self.given = given
        self.folder = folder
        self.calls: list[str] = []
        self.leave_out = set(leave_out)

    def module(self) -> Any:
        name = self.given.get("module", "Module")
        hooks = [hook for hook in OF_MODULE if hook not in self.leave_out]
        if name != "NoValidation":
            return recording(MODULES[name], "M", hooks, self.calls)()
        lacking = ("validation_step", "val_dataloader")
        kind = type(name, (Module,), {hook: getattr(L.LightningModule, hook) for hook in lacking})
        return recording(kind, "M", [hook for hook in hooks if hook not in lacking], self.calls)()

    def callback(self, letter: str) -> Any:
        if letter == "C":
            return recording(Callback, "C", OF_CALLBACKS, self.calls)()
        monitor = self.given.get("monitor")
        if letter == "E":
            return recording(EarlyStopping, "E", OF_CALLBACKS, self.calls)(monitor=monitor)
        return recording(ModelCheckpoint, "K", OF_CALLBACKS, self.calls)(dirpath=self.folder / "kept", monitor=monitor)

    def trainer(self, callbacks: list[Any]) -> L.Trainer:
        wanted = {
            "max_epochs": 2,
            "logger": False,
            "enable_checkpointing": None if any(isinstance(one, ModelCheckpoint) for one in callbacks) else False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "accelerator": "cpu",
            "default_root_dir": self.folder,
            "callbacks": callbacks,
        }
        return L.Trainer(**{**wanted, **self.given.get("trainer", {})})

    def data(self) -> tuple[list[Any], dict[str, Any]]:
        source = self.given["data"]
        if source == "passed":
            passed = [loader(3)] if self.given.get("module") == "NoValidation" else [loader(3), loader(2)]
            return passed, {}
        if source == "module":
            return [], {}
        kind = TwoLoadersData if source == "two_validation_loaders" else Data
        hooks = [hook for hook in OF_DATAMODULE if hook not in self.leave_out or hook in OF_DATA]
        return [], {"datamodule": recording(kind, "D", hooks, self.calls)()}

    def run(self) -> list[str]:
        arguments = self._resumed() if "resume" in self.given else {}
        passed, source = self.data()
        trainer = self.trainer([self.callback(letter) for letter in self.given.get("callbacks", "C")])
        module, call = self.module(), self.given["call"]
        if call in ("validate", "test"):
            arguments["verbose"] = False
        with suppress(RuntimeError, SystemExit):
            getattr(trainer, call)(module, *passed, **source, **arguments)
        if self.given.get("twice"):
            self.calls.append(SECOND_FIT)
            trainer.fit(module, *passed, **source)
        return self.calls

    def _resumed(self) -> dict[str, Any]:
        """Return the argument that goes on from a checkpoint of a run before, which is not recorded."""
        wanted = self.given["resume"]
        by_step = {"every_n_train_steps": 2} if wanted.startswith("step") else {}
        keeper = ModelCheckpoint(dirpath=self.folder, save_top_k=-1, filename="{epoch} {step}", **by_step)
        before = Play({**self.given, "resume": None}, self.folder)
        _, source = before.data()
        before.trainer([keeper]).fit(before.module(), **source)
        (path,) = [path for path in self.folder.glob("*.ckpt") if wanted in path.stem.split(" ")]
        return {"ckpt_path": path}


def expected(case: GoldenCase) -> list[str]:
    calls = " ".join(case.expected["calls"]).split()
    return DIFFERENCES.get(case.name, lambda same: same)(calls)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_order_of_hooks(case: GoldenCase, tmp_path: Path) -> None:
    assert Play(dict(case.given), tmp_path).run() == expected(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_order_is_the_same_where_the_module_leaves_primitives_alone(case: GoldenCase, tmp_path: Path) -> None:
    left = {f"M.{hook}" for hook in PRIMITIVES}
    truth = [call for call in expected(case) if call not in left]
    assert Play(dict(case.given), tmp_path, leave_out=PRIMITIVES).run() == truth


def test_every_difference_is_one() -> None:
    """A rule that changes nothing would hide that we do not differ any more."""
    for case in CASES:
        plain = " ".join(case.expected["calls"]).split()
        assert (case.name in DIFFERENCES) == (expected(case) != plain), case.name
    assert set(DIFFERENCES) <= {case.name for case in CASES}


def test_every_hook_of_the_interface_occurs_in_some_case() -> None:
    seen = {call.partition(".")[2].partition("(")[0] for case in CASES for call in expected(case)}
    assert {hook.value for hook in Hook} <= seen
