"""Training and evaluation mode, gradients, torch's switches, bare runs, and more than one run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from kernel_cases import Deep, Line, differences, loader, trainer, twins, weights
from torch import nn

from fulmen_interfaces import Callback, ConfigurationError

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")


class Modal(Line):
    """Two parts, of which one is kept in evaluation mode; keeps their modes and torch's in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.BatchNorm1d(4).eval()
        self.seen: dict[str, tuple[bool, bool, bool, bool]] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.frozen(x))

    def note(self, step: str) -> None:
        modes = (self.training, self.frozen.training, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
        self.seen[step] = modes

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.note("train")
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.note("sanity" if self.trainer.sanity_checking else "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.note("test")

    def predict_step(self, batch: Any, batch_idx: int) -> None:
        self.note("predict")


EVALUATING = (False, False, False)


def test_every_part_is_trained_in_the_mode_that_it_was_given() -> None:
    module = Modal()
    trainer(max_epochs=2, val_check_interval=1).fit(module, loader(2), loader(1))
    assert module.seen["train"] == (True, False, True, False)
    assert module.seen["sanity"] == module.seen["val"] == (*EVALUATING, False)
    assert (module.training, module.frozen.training) == (True, False)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_inference_mode_is_for_evaluation_outside_of_a_fit(inference_mode: bool) -> None:
    module, ready = Modal(), trainer(inference_mode=inference_mode)
    ready.validate(module, loader(1), verbose=False)
    ready.test(module, loader(1), verbose=False)
    ready.predict(module, loader(1))
    assert module.seen == dict.fromkeys(["val", "test", "predict"], (*EVALUATING, inference_mode))
    assert (module.training, module.frozen.training, torch.is_grad_enabled()) == (True, False, True)


def test_a_module_in_evaluation_mode_is_trained_so_and_a_warning_says_it() -> None:
    module = Modal()
    module.eval()
    with pytest.warns(UserWarning, match="Modal is in evaluation mode, and is trained so"):
        trainer().fit(module, loader(1))
    assert module.seen["train"][0] is False


def test_a_module_may_decide_its_modes_itself() -> None:
    class Own(Modal):
        def on_validation_model_eval(self) -> None:
            self.layer.eval()

        def on_validation_model_train(self) -> None:
            self.frozen.train()

    module = Own()
    trainer(num_sanity_val_steps=0).fit(module, loader(1), loader(1))
    assert module.seen["val"][:2] == (True, False)
    assert (module.layer.training, module.frozen.training) == (False, True)


def test_validation_changes_nothing_but_the_random_numbers_that_it_draws() -> None:
    class Validated(Deep):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("v", self.loss(batch))

    ours, theirs = twins(Validated)
    torch.manual_seed(5)
    # the sanity check draws none, as far as training can see
    trainer(max_epochs=2, val_check_interval=1, num_sanity_val_steps=2).fit(ours, loader(3), loader(2))
    torch.manual_seed(5)
    optimizer = theirs.configure_optimizers()
    for _ in range(2):
        for batch in loader(3):
            optimizer.zero_grad()
            theirs.loss(batch).backward()
            optimizer.step()
            theirs.eval()
            for _ in loader(2):  # a loader draws a seed for its workers whenever it is read
                pass
            theirs.train()
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_anomalies_are_looked_for_within_the_run_only(wanted: bool) -> None:
    class Looking(Line):
        found = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.found = torch.is_anomaly_enabled()
            return self.loss(batch)

    module = Looking()
    trainer(detect_anomaly=wanted).fit(module, loader(1))
    assert module.found is wanted
    assert not torch.is_anomaly_enabled()


def test_an_anomaly_is_raised_where_it_arose() -> None:
    class Nan(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return (self.loss(batch) * 0).sqrt() * 0

    trainer().fit(Nan(), loader(1))
    with pytest.raises(RuntimeError, match="nan"), pytest.warns(UserWarning, match="Error detected in"):
        trainer(detect_anomaly=True).fit(Nan(), loader(1))
    assert not torch.is_anomaly_enabled()


@pytest.mark.parametrize(("wanted", "warn_only"), [(True, False), ("warn", True)])
def test_deterministic_algorithms_are_used_within_the_run_only(wanted: Any, warn_only: bool) -> None:
    class Looking(Line):
        found: tuple[bool, bool] = (False, False)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            on, warn = torch.are_deterministic_algorithms_enabled, torch.is_deterministic_algorithms_warn_only_enabled
            self.found = (on(), warn())
            return self.loss(batch)

    module = Looking()
    trainer(deterministic=wanted).fit(module, loader(1))
    assert module.found == (True, warn_only)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_bare_run_trains_to_the_same_weights_and_records_nothing() -> None:
    class Logging(Deep):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("loss", loss, prog_bar=True)
            return loss

    ours, plain = twins(Logging)
    loose = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"])
    bare = trainer(barebones=True, **loose)
    torch.manual_seed(1)
    bare.fit(ours, loader(3))
    torch.manual_seed(1)
    trainer().fit(plain, loader(3))
    assert differences(ours, plain) == []
    assert (bare.callback_metrics, bare.logged_metrics, bare.progress_bar_metrics) == ({}, {}, {})
    assert (bare.loggers, bare.callbacks) == ([], [])


def test_a_bare_run_with_extras_is_refused_for_each() -> None:
    with pytest.raises(ConfigurationError) as error:
        trainer(barebones=True, logger=True, enable_checkpointing=True, enable_progress_bar=None)
    assert {problem.argument for problem in error.value.problems} >= {"logger", "enable_checkpointing"}


def test_a_second_fit_trains_again_from_the_weights_that_are_there() -> None:
    ready, module = trainer(max_epochs=2), Line()
    ready.fit(module, loader(3))
    once = weights(module)
    ready.fit(module, loader(3))
    assert (ready.global_step, ready.current_epoch) == (6, 2)
    longer = Line()
    trainer(max_epochs=4).fit(longer, loader(3))
    assert differences(module, longer) == []
    assert not torch.equal(once["layer.weight"], module.layer.weight)


def test_a_trainer_that_was_asked_to_stop_trains_again() -> None:
    class Stopping(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            trainer.should_stop = batch_idx == 0

    ready = trainer(callbacks=[Stopping()])
    for _ in range(2):
        ready.fit(Line(), loader(3))
        assert ready.global_step == 1
        assert ready.should_stop


def test_two_trainers_do_not_disturb_each_other() -> None:
    class Nested(Line):
        """Fits another module with another Trainer in the middle of a step."""

        def __init__(self) -> None:
            super().__init__()
            self.inner: list[Line] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("outer", float(batch_idx))
            inner = Line(lr=0.5)
            trainer(max_epochs=2).fit(inner, loader(2))
            self.inner.append(inner)
            self.log("after", float(batch_idx))
            return self.loss(batch)

    ours, plain = Nested(), Line()
    outer = trainer()
    outer.fit(ours, loader(3))
    trainer().fit(plain, loader(3))
    assert differences(ours, plain) == []
    assert (outer.global_step, len(ours.inner)) == (3, 3)
    assert {key: value.item() for key, value in outer.callback_metrics.items()} == {"outer": 2.0, "after": 2.0}
    alone = Line(lr=0.5)
    trainer(max_epochs=2).fit(alone, loader(2))
    assert all(differences(one, alone) == [] for one in ours.inner)


def test_one_module_may_be_run_by_several_trainers_in_turn() -> None:
    module = Line()
    first, second = trainer(), trainer(max_epochs=2)
    first.fit(module, loader(1))
    second.fit(module, loader(1))
    assert module.trainer is second
    assert (first.global_step, second.global_step) == (1, 2)
    first.predict(copy.deepcopy(module), [torch.ones(1, 4)])
    assert module.trainer is second
