"""Progress bars: what they draw on real terminals, what they write to files, and how often."""

from __future__ import annotations

import fcntl
import io
import math
import os
import pickle
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

import fulmen_interfaces
from fulmen_callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from fulmen_callbacks._progress import _drawn, _plain
from fulmen_callbacks._progress._painter import Bar, clock, metric_text, speed
from fulmen_interfaces import CALLBACKS, CallbackRole, Catalogue, ConfigurationError, RunningStage, World


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_drawn, "monotonic", clock)
    monkeypatch.setattr(_plain, "time", clock)
    return clock


class RecordingPainter:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def open(self, bar: Bar, description: str, total: float | None, done: int = 0) -> None:
        self.calls.append(("open", bar, description, total, done))

    def update(self, bar: Bar, done: int, metrics: Any) -> None:
        self.calls.append(("update", bar, done, dict(metrics)))

    def close(self, bar: Bar, done: int, metrics: Any, *, keep: bool) -> None:
        self.calls.append(("close", bar, done, keep))

    def print(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("print", *args))

    def stop(self) -> None:
        self.calls.append(("stop",))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] == kind]


class RecordingBar(RichProgressBar):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.painter = RecordingPainter()

    def is_on_a_screen(self) -> bool:
        return True

    def make_painter(self) -> Any:
        return self.painter


def fit(bar: Any, trainer: Any, module: Any, *, first_batch: int = 0, tick: Callable[[], None] = lambda: None) -> None:
    """Call the hooks of a fit with sanity check and validation."""

    def evaluate(stage: RunningStage) -> None:
        trainer.running_stage = stage
        bar.on_validation_start(trainer, module)
        for batch in range(2):
            tick()
            bar.on_validation_batch_end(trainer, module, None, None, batch)
        bar.on_validation_end(trainer, module)
        trainer.running_stage = RunningStage.TRAINING

    bar.setup(trainer, module, "fit")
    bar.on_sanity_check_start(trainer, module)
    evaluate(RunningStage.SANITY_CHECKING)
    bar.on_sanity_check_end(trainer, module)
    bar.on_train_start(trainer, module)
    for epoch in range(trainer.max_epochs):
        trainer.current_epoch = epoch
        if not first_batch:
            bar.on_train_epoch_start(trainer, module)
        for batch in range(first_batch, trainer.num_training_batches):
            tick()
            bar.on_train_batch_end(trainer, module, None, None, batch)
        first_batch = 0
        evaluate(RunningStage.VALIDATING)
        bar.on_train_epoch_end(trainer, module)
    bar.on_train_end(trainer, module)
    bar.teardown(trainer, module, "fit")


def test_it_is_the_default_progress_bar() -> None:
    found = Catalogue.installed().find(CALLBACKS, "progress_bar")
    assert found.spec.role is CallbackRole.PROGRESS_BAR
    assert isinstance(found.create(), fulmen_interfaces.ProgressBar)


def test_every_stage_has_its_bar(make_trainer: Any, module: Any) -> None:
    bar = RecordingBar()
    fit(bar, make_trainer(max_epochs=2, num_sanity_val_batches=[2, 1], num_val_batches=[2, 3]), module)
    opened = [call[1:4] for call in bar.painter.of("open")]
    assert opened == [
        (Bar.SANITY, "Sanity Checking", 3),
        (Bar.TRAIN, "Epoch 0/1", 4),
        (Bar.VALIDATION, "Validation", 5),
        (Bar.TRAIN, "Epoch 1/1", 4),
        (Bar.VALIDATION, "Validation", 5),
    ]
    closed = [call[1:] for call in bar.painter.of("close")]
    epoch = [(Bar.VALIDATION, 2, False), (Bar.TRAIN, 4, True)]
    assert closed == [(Bar.SANITY, 2, False), *epoch, *epoch]
    assert bar.painter.calls[-1] == ("stop",)


def test_standalone_evaluations_and_unknown_lengths(make_trainer: Any, module: Any) -> None:
    bar = RecordingBar()
    trainer = make_trainer(num_test_batches=[2], num_predict_batches=[math.inf], num_val_batches=[1])
    bar.setup(trainer, module, "test")
    bar.on_test_start(trainer, module)
    bar.on_test_batch_end(trainer, module, None, None, 0)
    bar.on_test_end(trainer, module)
    bar.on_predict_start(trainer, module)
    bar.on_predict_batch_end(trainer, module, None, None, 0)
    bar.on_predict_end(trainer, module)
    bar.on_validation_start(trainer, module)
    bar.on_validation_end(trainer, module)
    assert [call[1:4] for call in bar.painter.of("open")] == [
        (Bar.TEST, "Testing", 2),
        (Bar.PREDICT, "Predicting", None),
        (Bar.VALIDATION, "Validation", 1),
    ]
    assert [call[1:] for call in bar.painter.of("close")] == [
        (Bar.TEST, 1, True),
        (Bar.PREDICT, 1, True),
        (Bar.VALIDATION, 0, True),
    ]


@pytest.mark.parametrize("stage", ["validation", "test", "predict"])
def test_results_are_printed_below_the_bar_of_an_evaluation(stage: str, make_trainer: Any, module: Any) -> None:
    screen = io.StringIO()
    bar = RichProgressBar(console_kwargs={"force_terminal": True, "file": screen})
    trainer = make_trainer(running_stage=RunningStage.TESTING, num_test_batches=[1], num_predict_batches=[1])
    bar.setup(trainer, module, "validate" if stage == "validation" else stage)
    getattr(bar, f"on_{stage}_start")(trainer, module)
    getattr(bar, f"on_{stage}_batch_end")(trainer, module, None, None, 0)
    getattr(bar, f"on_{stage}_end")(trainer, module)
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is back, and nothing is drawn any more
    bar.print("results", file=screen)
    bar.teardown(trainer, module, stage)
    assert screen.getvalue().endswith("\x1b[?25hresults\n")


def test_a_second_is_drawn_ten_times_whatever_the_steps_cost(make_trainer: Any, module: Any, fake_clock: Clock) -> None:
    bar = RecordingBar()
    trainer = make_trainer(max_epochs=1, num_training_batches=10_000)

    def tick() -> None:
        fake_clock.now += 0.001

    fit(bar, trainer, module, tick=tick)
    drawn = [call for call in bar.painter.of("update") if call[1] is Bar.TRAIN]
    assert 90 <= len(drawn) <= 104


def test_drawing_that_is_slow_happens_less_often(make_trainer: Any, module: Any, fake_clock: Clock) -> None:
    class Slow(RecordingPainter):
        def update(self, bar: Bar, done: int, metrics: Any) -> None:
            super().update(bar, done, metrics)
            fake_clock.now += 0.1

    bar = RecordingBar()
    bar.painter = Slow()

    def tick() -> None:
        fake_clock.now += 0.01

    start = fake_clock.now
    fit(bar, make_trainer(max_epochs=1, num_training_batches=5000), module, tick=tick)
    assert len(bar.painter.of("update")) * 0.1 < 0.1 * (fake_clock.now - start)


def test_metrics_are_read_only_to_be_drawn(make_trainer: Any, module: Any, fake_clock: Clock) -> None:
    read = 0

    class Counting(RecordingBar):
        def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, int | str | float]:
            nonlocal read
            read += 1
            return {**super().get_metrics(trainer, pl_module), "mine": read}

    bar = Counting()
    bar.setup(make_trainer(), module, "fit")
    bar.on_train_start(bar.trainer, module)
    bar.on_train_epoch_start(bar.trainer, module)
    for batch in range(1000):
        bar.on_train_batch_end(bar.trainer, module, None, None, batch)
    assert read == 1
    assert bar.painter.of("update")[-1][3] == {"mine": 1}


def test_the_refresh_rate_counts_batches(make_trainer: Any, module: Any, fake_clock: Clock) -> None:
    bar = RecordingBar(refresh_rate=3)
    trainer = make_trainer(max_epochs=1, num_training_batches=9, num_val_batches=[0])

    def tick() -> None:
        fake_clock.now += 10.0

    fit(bar, trainer, module, tick=tick)
    assert [call[2] for call in bar.painter.of("update") if call[1] is Bar.TRAIN][:3] == [1, 4, 7]
    with pytest.raises(ConfigurationError, match="refresh_rate=-1"):
        RichProgressBar(refresh_rate=-1)


def test_a_resumed_epoch_begins_where_it_was(make_trainer: Any, module: Any) -> None:
    bar = RecordingBar()
    fit(bar, make_trainer(max_epochs=1), module, first_batch=2)
    assert ("open", Bar.TRAIN, "Epoch 0/0", 4, 2) in bar.painter.calls
    assert ("close", Bar.TRAIN, 4, True) in bar.painter.calls


@pytest.mark.parametrize("how", ["rate", "disable", "rank"])
def test_it_can_be_silent(how: str, make_trainer: Any, module: Any, capsys: Any) -> None:
    bar = RecordingBar(refresh_rate=0 if how == "rate" else 1)
    if how == "disable":
        bar.disable()
    fit(bar, make_trainer(max_epochs=1, world=World(rank=int(how == "rank"))), module)
    assert bar.painter.calls == []
    assert bar.is_disabled
    bar.print("still", "said", sep="-")
    assert capsys.readouterr().out == "still-said\n"
    bar.enable()
    assert bar.is_enabled is (how != "rate")


def test_metrics_hold_the_version_and_what_was_logged_for_the_bar(
    make_trainer: Any, module: Any, memory_logger: Any
) -> None:
    trainer = make_trainer(progress_bar_metrics={"loss": 0.5}, loggers=[memory_logger(version=7)])
    assert ProgressBar().get_metrics(trainer, module) == {"v_num": 7, "loss": 0.5}
    trainer.loggers = [memory_logger(version="a-long-name")]
    assert ProgressBar().get_metrics(trainer, module) == {"v_num": "name", "loss": 0.5}
    trainer.loggers = []
    assert ProgressBar().get_metrics(trainer, module) == {"loss": 0.5}


def test_a_bar_of_ones_own_stands_on_the_base(make_trainer: Any, module: Any, capsys: Any) -> None:
    class Percent(ProgressBar):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.print(f"{100 * (batch_idx + 1) / self.total_train_batches:.0f} %")

    bar = Percent()
    with pytest.raises(RuntimeError, match="no run has begun"):
        _ = bar.trainer
    fit(bar, make_trainer(max_epochs=1), module)
    assert capsys.readouterr().out.split("\n")[:2] == ["25 %", "50 %"]


def test_a_log_file_holds_few_whole_lines(make_trainer: Any, module: Any, fake_clock: Clock, capsys: Any) -> None:
    bar = RichProgressBar()
    trainer = make_trainer(max_epochs=200, progress_bar_metrics={"loss": 0.5})
    start = fake_clock.now

    def tick() -> None:
        fake_clock.now += 1.0

    fit(bar, trainer, module, tick=tick)
    written = capsys.readouterr().out
    minutes = (fake_clock.now - start) / 60
    lines = written.splitlines()
    assert "\r" not in written
    assert "\x1b" not in written
    assert minutes - 2 <= len(lines) <= 5 + minutes
    assert lines[0] == "Epoch 0/199: 4 batches, 0:00:06 elapsed, 1.50s/it | loss: 0.5"
    assert lines[-1].startswith("Epoch 199/199: 4 batches")


def test_a_long_epoch_speaks_about_once_a_minute(
    make_trainer: Any, module: Any, fake_clock: Clock, capsys: Any
) -> None:
    bar = RichProgressBar()
    trainer = make_trainer(max_epochs=1, num_training_batches=3600, num_val_batches=[2])

    def tick() -> None:
        fake_clock.now += 1.0

    fit(bar, trainer, module, tick=tick)
    lines = capsys.readouterr().out.splitlines()
    assert 55 <= len(lines) <= 62
    assert re.fullmatch(r"Epoch 0/0: \d+/3600 batches, 0:29:\d\d elapsed, 0:30:\d\d to go, 1\.0it/s", lines[29])


def test_evaluations_leave_one_line_in_a_log_file(make_trainer: Any, module: Any, capsys: Any) -> None:
    bar = TQDMProgressBar()
    trainer = make_trainer(num_test_batches=[1], progress_bar_metrics={"acc": 0.25})
    bar.setup(trainer, module, "test")
    bar.on_test_start(trainer, module)
    bar.on_test_batch_end(trainer, module, None, None, 0)
    bar.on_test_end(trainer, module)
    bar.teardown(trainer, module, "test")
    assert re.fullmatch(r"Testing: 1 batch, 0:00:00 elapsed, .*it/s \| acc: 0\.25\n", capsys.readouterr().out)


def on_a_terminal(bar: str, ending: str = "pass", *, width: int = 100) -> str:
    """Run two epochs on a pseudo-terminal and return all that was written to it."""
    program = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from callback_fakes import FakeTrainer, Module
        from test_progress_bar import fit
        from fulmen_callbacks import RichProgressBar, TQDMProgressBar
        bar, module = {bar}, Module()
        trainer = FakeTrainer(max_epochs=2, progress_bar_metrics={{"loss": 0.125}})
        def tick():
            if trainer.current_epoch == 1: bar.print("[bold]printed[/bold]")
            {ending}
        try:
            fit(bar, trainer, module, tick=tick)
        except RuntimeError as error:
            bar.on_exception(trainer, module, error)
        """
    )
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    written = b""
    with open(leader, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(65536)
            except OSError:
                break
            if not part:
                break
            written += part
    assert process.wait() == 0, written.decode()
    return written.decode()


@pytest.mark.parametrize("ending", ["pass", "if trainer.current_epoch == 1: raise RuntimeError"], ids=["well", "ill"])
def test_on_a_terminal_rich_draws_and_gives_the_cursor_back(ending: str) -> None:
    written = on_a_terminal("RichProgressBar()", ending)
    assert "Sanity Checking" in written
    assert "Epoch 1/1" in written
    assert "loss: 0.125" in written
    assert "[bold]printed[/bold]" in written
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") > -1


def test_on_a_narrow_terminal_each_bar_keeps_to_its_line() -> None:
    written = on_a_terminal("RichProgressBar()", width=40)
    assert "Epoch 1/1" in written
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", written).replace("\r", "\n").split("\n")
    bars = [line for line in lines if line.startswith(("Epoch 1/1", "Validation"))]
    assert bars
    assert all(re.search(r" \d/\d ", line) for line in bars)
    assert not any(line.lstrip().startswith("•") for line in lines)


def test_on_a_terminal_tqdm_draws() -> None:
    pytest.importorskip("tqdm")
    written = on_a_terminal("TQDMProgressBar()")
    assert "Epoch 1/1: 100%" in written
    assert "loss: 0.125" in written
    assert "[bold]printed[/bold]" in written
    assert not re.search(r"Validation[^\r\n]*loss", written)  # beside training they stand already


def test_bars_of_tqdm_can_be_changed_while_they_are_shown(make_trainer: Any, module: Any) -> None:
    pytest.importorskip("tqdm")

    class Counted(TQDMProgressBar):
        descriptions: ClassVar[list[str]] = []

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_epoch_start(trainer, pl_module)
            self.train_progress_bar.set_description(f"Epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")
            if not self.train_progress_bar.disable:
                self.descriptions.append(self.train_progress_bar.desc)

    bar = Counted()
    bar.is_on_a_screen = lambda: True  # type: ignore[method-assign]
    fit(bar, make_trainer(max_epochs=2), module)
    assert bar.descriptions == ["Epoch 1 of 2: ", "Epoch 2 of 2: "]
    fit(Counted(refresh_rate=0), make_trainer(max_epochs=1), module)
    assert len(bar.descriptions) == 2
    assert all(one.disable for one in (bar.val_progress_bar, bar.test_progress_bar, bar.predict_progress_bar))


def test_tqdm_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, make_trainer: Any, module: Any) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(TQDMProgressBar, "is_on_a_screen", lambda self: True)
    bar = TQDMProgressBar()
    bar.setup(make_trainer(), module, "fit")
    with pytest.raises(ImportError, match="pip install tqdm"):
        bar.on_train_epoch_start(bar.trainer, module)


def test_a_bar_can_go_to_another_process(make_trainer: Any, module: Any) -> None:
    bar = RichProgressBar(console_kwargs={"force_terminal": True, "file": None})
    bar.setup(make_trainer(), module, "fit")
    copy = pickle.loads(pickle.dumps(bar))
    assert copy.refresh_rate == 1
    fit(bar, make_trainer(max_epochs=1), module)


def test_columns_of_ones_own(make_trainer: Any, module: Any) -> None:
    from rich.progress import TextColumn

    class Short(RichProgressBar):
        def configure_columns(self, trainer: Any) -> list[Any]:
            return [TextColumn(f"of {trainer.max_epochs}: {{task.completed}}")]

    screen = io.StringIO()
    fit(Short(console_kwargs={"force_terminal": True, "file": screen}), make_trainer(max_epochs=1), module)
    assert "of 1: 4" in screen.getvalue()


def test_small_texts() -> None:
    assert [clock(5), clock(3725.9)] == ["0:00:05", "1:02:05"]
    assert [speed(12.34), speed(0.25), speed(0)] == ["12.3it/s", "4.00s/it", "–"]
    assert [metric_text("a", 0.123456), metric_text("b", 3), metric_text("c", "x")] == ["a: 0.123", "b: 3", "c: x"]
