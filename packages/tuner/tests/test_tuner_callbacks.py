"""The tuner before every fit: as callbacks, and in the spellings of earlier versions."""

from __future__ import annotations

import pytest
from tuner_cases import LOG, Data, Limited, Loaded, Net, loader, same_state, seeded, trainer

from fulmen_interfaces import ConfigurationError, ModuleError
from fulmen_tuner import BatchSizeFinder, LearningRateCurve, LearningRateFinder, Tuner


def test_the_callback_does_what_the_tuner_does_before_a_fit():
    by_hand, by_callback = seeded(), seeded()
    curve = Tuner(trainer()).lr_find(by_hand, loader(), num_training=60)
    finder = LearningRateFinder(num_training_steps=60)
    seeded()  # seeds everything
    trainer().fit(by_hand, loader())
    seeded()
    trainer(callbacks=[finder]).fit(by_callback, loader())
    assert finder.optimal_lr.results == curve.results
    assert by_callback.lr == by_hand.lr == curve.suggestion()
    assert same_state(by_hand, by_callback)


def test_the_run_is_not_the_search():
    finder = LearningRateFinder(num_training_steps=20)
    runner = trainer(callbacks=[finder])
    model = seeded()
    runner.fit(model, datamodule=Data())
    assert (runner.global_step, runner.current_epoch, runner.max_epochs) == (16, 2, 2)
    assert len(model.seen) == 16
    assert runner.optimizers[0].param_groups[0]["lr"] == model.lr


def test_a_data_module_may_stand_in_the_place_of_loaders():
    finder = LearningRateFinder(num_training_steps=20)
    trainer(callbacks=[finder]).fit(seeded(), Data())
    assert len(finder.optimal_lr.results["lr"]) > 10


def test_a_fit_that_goes_on_from_a_checkpoint_keeps_its_rate(tmp_path):
    first = trainer(max_epochs=1)
    first.fit(seeded(), loader())
    first.save_checkpoint(tmp_path / "one.ckpt")
    finder, model = LearningRateFinder(), seeded()
    trainer(callbacks=[finder]).fit(model, loader(), ckpt_path=tmp_path / "one.ckpt")
    assert finder.optimal_lr is None
    assert model.lr == 0.01


def test_a_callback_that_comes_too_late_is_told():
    class Own(Net):
        def configure_callbacks(self):
            return LearningRateFinder()

    with pytest.raises(ModuleError, match=r"Trainer\(callbacks=\[LearningRateFinder\(\)\]\)"):
        trainer().fit(seeded(Own), loader())


class AtMilestones(LearningRateFinder):
    """Searches at epochs, as users of other frameworks are taught to."""

    def __init__(self, *milestones, **options):
        super().__init__(**options)
        self.milestones = milestones
        self.found = []

    def on_fit_start(self, trainer, pl_module): ...

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch in self.milestones:
            self.lr_find(trainer, pl_module)
            self.found.append((trainer.global_step, self.optimal_lr, trainer.optimizers[0].param_groups[0]["lr"]))


def test_a_subclass_searches_when_it_likes_and_the_fit_goes_on_with_what_it_found():
    finder, model = AtMilestones(1, num_training_steps=60), seeded()
    trainer(callbacks=[finder]).fit(model, loader(shuffle=True))
    ((step, curve, rate),) = finder.found
    assert step == 8
    assert rate == model.lr == curve.suggestion()


def test_it_may_search_before_training_where_a_data_module_has_the_data():
    class AtOnce(LearningRateFinder):
        def on_fit_start(self, trainer, pl_module):
            self.lr_find(trainer, pl_module)

    finder, model = AtOnce(num_training_steps=60), seeded()
    runner = trainer(callbacks=[finder])
    runner.fit(model, datamodule=Data())
    assert runner.optimizers[0].param_groups[0]["lr"] == model.lr == finder.optimal_lr.suggestion()


def test_a_search_within_a_fit_leaves_no_trace():
    with_search, without = seeded(), seeded()
    finder = AtMilestones(1, num_training_steps=30, update_attr=False)
    seeded()  # seeds everything
    trainer(callbacks=[finder]).fit(with_search, loader(shuffle=True))
    seeded()
    trainer().fit(without, loader(shuffle=True))
    assert len(finder.found) == 1
    assert same_state(with_search, without)
    assert with_search.lr == 0.01


def test_a_size_that_is_found_within_a_fit_is_that_of_the_next_loaders():
    class AtEpochOne(BatchSizeFinder):
        def on_fit_start(self, trainer, pl_module): ...

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                self.scale_batch_size(trainer, pl_module)

    finder, model = AtEpochOne(max_val=16), seeded(Limited)
    trainer(callbacks=[finder], max_epochs=3, reload_dataloaders_every_n_epochs=1).fit(model)
    assert finder.optimal_batch_size == model.batch_size == 16
    assert model.seen == [4] * 100 + [16] * 12 + [200 % 16]


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_a_search_within_an_evaluation_finds_what_the_one_before_it_found(stage):
    class Again(BatchSizeFinder):
        found = None

        def on_fit_start(self, trainer, pl_module): ...

        def on_validation_start(self, trainer, pl_module):
            self.found = self.optimal_batch_size
            self.optimal_batch_size = None
            self.scale_batch_size(trainer, pl_module)

        on_test_start = on_predict_start = on_validation_start

    finder, model = Again(), seeded(Loaded)
    getattr(trainer(callbacks=[finder]), stage)(model)
    assert finder.found == finder.optimal_batch_size == model.batch_size == 16


def test_the_batch_size_comes_before_the_rate_where_it_is_listed_first():
    sizes, rates = BatchSizeFinder(max_val=16), LearningRateFinder(num_training_steps=30)
    model = seeded(Limited)
    trainer(callbacks=[sizes, rates], max_epochs=1).fit(model)
    assert sizes.optimal_batch_size == model.batch_size == 16
    assert set(model.seen) == {16, 200 % 16}
    assert model.lr == rates.optimal_lr.suggestion()


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_the_batch_size_is_found_for_every_stage(stage):
    LOG.clear()
    finder, model = BatchSizeFinder(), seeded(Loaded)
    getattr(trainer(callbacks=[finder]), stage)(model)
    assert finder.optimal_batch_size == model.batch_size == 16
    assert LOG[-1] == 200 % 16
    assert LOG[-2] == 16


def test_trial_runs_of_a_few_batches_go_on_without_a_search():
    finder = LearningRateFinder()
    with pytest.warns(UserWarning, match="fast_dev_run"):
        trainer(callbacks=[finder], fast_dev_run=True).fit(seeded(), loader())
    assert finder.optimal_lr is None


def test_tune_finds_what_the_arguments_ask_for():
    model = seeded(Limited)
    runner = trainer(auto_lr_find=True, auto_scale_batch_size="binsearch", max_epochs=1)
    found = runner.tune(model, scale_batch_size_kwargs={"margin": 0.0}, lr_find_kwargs={"num_training": 30})
    assert found["scale_batch_size"] == model.batch_size == 20
    assert isinstance(found["lr_find"], LearningRateCurve)
    assert model.lr == found["lr_find"].suggestion()
    runner.fit(model)
    assert set(model.seen) == {20}


def test_tune_writes_into_the_attribute_that_was_named():
    model = seeded()
    model.my_value = 0.5
    found = trainer(auto_lr_find="my_value").tune(model, datamodule=Data())
    assert model.my_value == found["lr_find"].suggestion()
    assert model.lr == 0.01


def test_tune_does_nothing_where_nothing_was_asked():
    model = seeded()
    assert trainer().tune(model, loader()) == {}
    assert model.lr == 0.01


def test_the_trainers_tuner_is_this_one():
    runner = trainer()
    assert isinstance(runner.tuner, Tuner)
    curve = runner.tuner.lr_find(seeded(), loader(), update_attr=False)
    assert curve.suggestion() in curve.results["lr"]


def test_runs_of_several_processes_have_no_batch_size_search():
    class Wide(type(trainer())):
        world_size = 4

    with pytest.raises(ConfigurationError, match="leave the others waiting"):
        Tuner(Wide(accelerator="cpu", logger=False)).scale_batch_size(seeded(Limited))


def test_what_a_search_recorded_travels_as_plain_state():
    from fulmen_tuner._sweep import Sweep

    one, other = Sweep([0.1], threshold=None), Sweep([0.1], threshold=None)
    one.used, one.raw, one.smooth = [0.1], [2.0], [3.0]
    other.load_state_dict(one.state_dict())
    assert other.started
    assert (other.used, other.raw, other.smooth) == ([0.1], [2.0], [3.0])
