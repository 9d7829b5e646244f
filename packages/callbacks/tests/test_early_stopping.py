"""Early stopping, against what Lightning 2.6.6 was seen to do."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated_fit import SimulatedFit, same_number

from fulmen_callbacks import EarlyStopping, EarlyStoppingReason
from fulmen_interfaces import ConfigurationError, ReduceOp, SingleProcessCollectives, World

GOLDEN = json.loads((Path(__file__).parent / "golden" / "early_stopping.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_it_stops_where_lightning_was_seen_to_stop(case: dict[str, Any], make_trainer: Any, module: Any) -> None:
    settings = dict(case["trainer"])
    loop = {name: settings.pop(name) for name in list(settings) if name in SimulatedFit.__dataclass_fields__}
    callback = EarlyStopping(**case["arguments"])
    trainer = make_trainer(**settings)
    if trainer.fast_dev_run:
        loop["max_epochs"] = 1
    fit = SimulatedFit(trainer, module, callback, vals=case["vals"], trains=case["trains"], **{"max_epochs": 8, **loop})
    fit.run()
    assert trainer.current_epoch == case["epochs"]
    assert callback.stopping_reason.value == case["reason"]
    assert (callback.stopping_reason_message is None) == (case["reason"] == 0)
    assert callback.stopped_epoch == case["stopped_epoch"]
    assert callback.wait_count == case["wait_count"]
    assert same_number(callback.best_score.item(), case["best_score"])


def test_a_missing_metric_is_an_error_or_a_warning(make_trainer: Any, module: Any) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'val/loss'"):
        SimulatedFit(make_trainer(), module, EarlyStopping("val/los")).run()
    trainer = make_trainer()
    with pytest.warns(UserWarning, match="EarlyStopping does not check: monitor='nope'"):
        SimulatedFit(trainer, module, EarlyStopping("nope", strict=False)).run()
    assert trainer.current_epoch == 4


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="mode='sideways'"):
        EarlyStopping("a", mode="sideways")


def test_counting_goes_on_after_a_restart(make_trainer: Any, module: Any) -> None:
    first = EarlyStopping("val/loss", patience=3)
    assert first.state_key == "EarlyStopping{'monitor': 'val/loss', 'mode': 'min'}"
    SimulatedFit(make_trainer(), module, first, max_epochs=3, vals=[1.0, 2.0, 2.0]).run()
    state = first.state_dict()
    assert list(state) == [
        "wait_count",
        "stopped_epoch",
        "best_score",
        "patience",
        "stopping_reason",
        "stopping_reason_message",
    ]
    second = EarlyStopping("val/loss", patience=3)
    trainer = make_trainer()
    start = {"global_step": 12, "callbacks": {second.state_key: state}}
    SimulatedFit(trainer, module, second, max_epochs=8, vals=[2.0]).run(start)
    assert trainer.current_epoch == 4
    assert second.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
    third = EarlyStopping("val/loss")
    third.load_state_dict(second.state_dict())
    assert third.state_dict() == second.state_dict()
    assert third.stopping_reason_message is not None


def test_states_of_versions_without_a_reason_can_be_loaded() -> None:
    callback = EarlyStopping("a")
    callback.load_state_dict({"wait_count": 1, "stopped_epoch": 0, "best_score": torch.tensor(2.0), "patience": 5})
    assert callback.patience == 5
    assert callback.stopping_reason is EarlyStoppingReason.NOT_STOPPED


def test_a_subclass_may_check_at_other_moments(make_trainer: Any, module: Any) -> None:
    class AtTheEnd(EarlyStopping):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None: ...

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self._run_early_stopping_check(trainer)

    callback = AtTheEnd("val/loss", patience=0)
    trainer = make_trainer()
    SimulatedFit(trainer, module, callback, vals=[math.nan]).run()
    assert trainer.current_epoch == 4
    assert trainer.should_stop


def test_a_subclass_may_judge_by_other_criteria(make_trainer: Any, module: Any) -> None:
    class BelowTwo(EarlyStopping):
        def _evaluate_stopping_criteria(self, current: torch.Tensor) -> tuple[bool, str | None]:
            return bool(current < 2), "low enough"

    callback = BelowTwo("val/loss", patience=0)
    trainer = make_trainer()
    SimulatedFit(trainer, module, callback, max_epochs=8, vals=[5.0, 6.0, 1.0, 7.0]).run()
    assert trainer.current_epoch == 3
    assert callback.stopped_epoch == 2
    assert callback.stopping_reason_message == "low enough"


def test_a_subclass_may_check_in_its_own_way(make_trainer: Any, module: Any, caplog: Any) -> None:
    class OnEvenEpochs(EarlyStopping):
        def _run_early_stopping_check(self, trainer: Any) -> None:
            logs = trainer.callback_metrics
            if trainer.current_epoch % 2 or not self._validate_condition_metric(logs):
                return
            should_stop, reason = self._evaluate_stopping_criteria(logs[self.monitor].squeeze())
            trainer.should_stop = trainer.should_stop or should_stop
            if reason and self.verbose:
                self._log_info(trainer, reason, self.log_rank_zero_only)

    caplog.set_level(logging.INFO, "fulmen")
    callback = OnEvenEpochs("val/loss", patience=1, verbose=True)
    trainer = make_trainer()
    SimulatedFit(trainer, module, callback, max_epochs=8, vals=[2.0, 9.0, 2.0]).run()
    assert trainer.current_epoch == 3
    assert callback.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
    assert len(caplog.records) == 2


def test_standalone_validation_is_not_counted(make_trainer: Any, module: Any) -> None:
    callback = EarlyStopping("val/loss", patience=0, check_on_train_epoch_end=False)
    trainer = make_trainer(callback_metrics={"val/loss": torch.tensor(math.nan)})
    callback.setup(trainer, module, "validate")
    callback.on_validation_end(trainer, module)
    assert not trainer.should_stop


def test_what_it_sees_is_told(make_trainer: Any, module: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "fulmen")
    callback = EarlyStopping("val/loss", patience=1, verbose=True)
    SimulatedFit(make_trainer(), module, callback, vals=[2.0, 1.0, 1.5]).run()
    assert [record.message for record in caplog.records] == [
        "val/loss = 2 is better than inf.",
        "val/loss = 1 is better than 2.",
        "val/loss did not improve in the last 1 checks; the best was 1.",
    ]


class TwoRanks(SingleProcessCollectives):
    """The other rank's part in the reduction is given."""

    def __init__(self, other: float) -> None:
        self.other = other

    def all_reduce(self, tensor: torch.Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> torch.Tensor:
        assert op is ReduceOp.MAX
        return torch.maximum(tensor, torch.tensor(self.other))


@pytest.mark.parametrize("other", [0.0, 1.0])
def test_one_rank_that_stops_stops_all(other: float, make_trainer: Any, module: Any) -> None:
    callback = EarlyStopping("val/loss", patience=5)
    trainer = make_trainer(world=World(size=2), collectives=TwoRanks(other))
    SimulatedFit(trainer, module, callback).run()
    assert trainer.should_stop is bool(other)
    assert callback.stopping_reason is EarlyStoppingReason.NOT_STOPPED


def test_every_fit_begins_anew(make_trainer: Any, module: Any) -> None:
    callback = EarlyStopping("val/loss", patience=2)
    for _ in range(2):
        trainer = make_trainer()
        SimulatedFit(trainer, module, callback, max_epochs=8, vals=[1.0, 2.0, 3.0, 4.0]).run()
        assert trainer.current_epoch == 3
        assert callback.wait_count == 2
        assert callback.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
    callback.setup(make_trainer(), module, "validate")
    assert callback.wait_count == 2


def test_a_number_that_is_text_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"patience='3': It must be a number"):
        EarlyStopping("loss", patience="3")  # type: ignore[arg-type]
