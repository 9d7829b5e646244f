"""The fakes do what a test relies on: they work, and tell what was done with them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from fulmen_interfaces import (
    ACCELERATORS,
    LOGGERS,
    PRECISIONS,
    STRATEGIES,
    Callback,
    GradientClipping,
    Hook,
    Placement,
    PrepareRequest,
    RankedCheckpoints,
    TrainerView,
    World,
)
from fulmen_testing import (
    BoringModule,
    FakeAccelerator,
    FakeCheckpoints,
    FakeLogger,
    FakePrecision,
    FakeStrategy,
    FakeTrainer,
    RandomDataset,
    RecordingCallback,
    fake_catalogue,
    golden_cases,
    play_fit,
)

(FIT,) = golden_cases(Path(__file__).parent / "golden_callback_hooks.json")


def test_played_fit_is_that_of_lightning() -> None:
    callback = RecordingCallback()
    play_fit(callback, FakeTrainer(), BoringModule(), epochs=FIT.given["epochs"], batches=FIT.given["batches"])
    assert callback.calls == [name.partition("(")[0] for name in FIT.expected["hooks"]]


def test_played_fit_ends_when_it_is_told() -> None:
    class Stopping(RecordingCallback):
        def on_train_batch_end(self, trainer: FakeTrainer, *arguments: object) -> None:  # type: ignore[override]
            trainer.should_stop = True

    callback, trainer = Stopping(), FakeTrainer()
    play_fit(callback, trainer, BoringModule(), epochs=5)
    assert callback.calls.count("on_train_epoch_start") == 1
    assert callback.calls[-1] == "teardown"
    assert trainer.current_epoch == 1


def test_recording_callback_overrides_every_hook() -> None:
    hooks = [hook.value for hook in Hook if hasattr(Callback, hook.value)]
    assert len(hooks) > 35
    for name in hooks:
        own, base = getattr(RecordingCallback, name), getattr(Callback, name)
        assert own is not base, name
        assert inspect.signature(own) == inspect.signature(base), name


def test_recording_callback_keeps_arguments_behind_trainer_and_module() -> None:
    callback = RecordingCallback()
    callback.on_train_batch_end("trainer", "module", {"loss": 1}, "batch", 4)
    callback.setup("trainer", "module", "fit")
    assert callback.calls == ["on_train_batch_end", "setup"]
    assert callback.arguments == [({"loss": 1}, "batch", 4), ("fit",)]


def test_recording_callbacks_can_share_a_list() -> None:
    calls: list[str] = []
    first, second = RecordingCallback(calls, "A."), RecordingCallback(calls, "B.")
    first.on_fit_start(None, None)
    second.on_fit_start(None, None)
    first.on_fit_end(None, None)
    assert calls == ["A.on_fit_start", "B.on_fit_start", "A.on_fit_end"]


def test_fake_trainer_offers_all_that_callbacks_may_ask() -> None:
    trainer = FakeTrainer()
    asked = {name for name in dir(TrainerView) if not name.startswith("_")} | {"should_stop"}
    assert [name for name in sorted(asked) if not hasattr(trainer, name)] == []


def test_fake_trainer_writes_and_removes_real_files(tmp_path: Path) -> None:
    class Counting(Callback):
        def state_dict(self) -> dict[str, int]:
            return {"count": 3}

    trainer = FakeTrainer(default_root_dir=str(tmp_path), callbacks=[Counting()], current_epoch=1, global_step=9)
    path = tmp_path / "some" / "file.ckpt"
    trainer.save_checkpoint(str(path))
    state = torch.load(path, weights_only=True)
    assert (state["epoch"], state["global_step"]) == (1, 9)
    assert list(state["callbacks"].values()) == [{"count": 3}]
    trainer.remove_checkpoint(str(path))
    trainer.remove_checkpoint(str(path.parent))
    assert list(tmp_path.iterdir()) == []
    assert (trainer.saved, trainer.removed) == ([str(path)], [str(path), str(path.parent)])


def test_fake_trainer_follows_its_world_and_loggers(tmp_path: Path) -> None:
    trainer = FakeTrainer(default_root_dir=str(tmp_path), world=World(rank=1, size=2))
    assert not trainer.is_global_zero
    assert trainer.log_dir == str(tmp_path)
    trainer.loggers = [FakeLogger()]
    assert trainer.log_dir is None


def test_fake_logger_returns_values_by_name() -> None:
    logger = FakeLogger("run", "v1")
    logger.log_metrics({"a": 1.0, "b": 2.0}, 0)
    logger.log_metrics({"a": 3.0}, 5)
    assert logger.values("a") == [1.0, 3.0]
    assert logger.metrics == [(0, {"a": 1.0, "b": 2.0}), (5, {"a": 3.0})]
    assert (logger.name, logger.version) == ("run", "v1")


def test_fake_checkpoints_are_ranked_files(tmp_path: Path) -> None:
    checkpoints = FakeCheckpoints(save_top_k=2)
    assert isinstance(checkpoints, RankedCheckpoints)
    for when, score in enumerate((0.5, 0.25, 0.75)):
        checkpoints.save(tmp_path / str(when), score, when=when)
    assert checkpoints.best_model_path == str(tmp_path / "1")
    assert [(path.stat().st_mtime, path.read_text()) for path in sorted(tmp_path.iterdir())] == [
        (0, "weights of 0.5"),
        (1, "weights of 0.25"),
        (2, "weights of 0.75"),
    ]


def test_fake_strategy_records_what_is_called() -> None:
    strategy = FakeStrategy()
    module = nn.Linear(1, 1)
    strategy.start(Placement(World(), torch.device("cpu"), FakeAccelerator()))
    request = PrepareRequest(module, module, lambda: [torch.optim.SGD(module.parameters())], FakePrecision())
    prepared = strategy.prepare(request)
    with prepared.no_sync():
        prepared.backward(module(torch.ones(1, 1)).sum())
    prepared.unscale_gradients(prepared.optimizers[0])
    prepared.clip_gradients(prepared.optimizers[0], GradientClipping(1.0))
    prepared.step(prepared.optimizers[0])
    strategy.teardown()
    assert strategy.calls == ["start", "prepare", "teardown"]
    assert strategy.prepared == [prepared]
    assert prepared.calls == ["no_sync", "backward", "unscale_gradients", "clip_gradients", "step"]


def test_fake_catalogue_suffices_for_a_run_by_default() -> None:
    catalogue = fake_catalogue()
    assert [catalogue.names(role) for role in (ACCELERATORS, STRATEGIES, PRECISIONS, LOGGERS)] == [
        ("fake",),
        ("fake",),
        ("32-true",),
        ("fake",),
    ]
    assert fake_catalogue() is not catalogue


def test_random_dataset_depends_on_its_seed_alone() -> None:
    assert torch.equal(RandomDataset(seed=3).rows, RandomDataset(seed=3).rows)
    assert not torch.equal(RandomDataset(seed=3).rows, RandomDataset(seed=4).rows)
    assert len(RandomDataset(length=5)) == 5


@pytest.mark.parametrize("name", ["loss", "acc"])
def test_boring_module_keeps_what_is_logged(name: str) -> None:
    module = BoringModule(4)
    module.log(name, 1.0, on_step=True)
    module.log_dict({name: 2.0})
    assert module.logged == [(name, 1.0, {"on_step": True}), (name, 2.0, {})]
    assert module(module.example_input_array).shape == (1, 2)
