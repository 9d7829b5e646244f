"""Mistakes in modules, data and calls: one clear error each, before or at the first step."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
from kernel_cases import Line, Unsized, loader, trainer
from torch import nn

from fulmen_core import LightningDataModule, LightningModule
from fulmen_interfaces import Callback, ConfigurationError, DataError, FulmenError, ModuleError


def without(*names: str, **methods: Any) -> LightningModule:
    """Return a module that lacks some methods of `Line` and has others."""
    offered = {"training_step": Line.training_step, "configure_optimizers": Line.configure_optimizers}
    own = {name: method for name, method in offered.items() if name not in names}
    base = {"__init__": Line.__init__, "loss": Line.loss, "forward": Line.forward}

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)
            self.lr = 0.1

    del base["__init__"]
    return type("Module", (Module,), {**base, **own, **methods})()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: without("training_step"), r"Module has no `training_step`.*Define `training_step\(self, batch"),
        (lambda: without("training_step", trainig_step=Line.training_step), "Did you mean 'trainig_step'"),
        (lambda: without("configure_optimizers"), "Module has no `configure_optimizers`.*or None to train without"),
        (
            lambda: without("configure_optimizers", configure_optimizer=Line.configure_optimizers),
            "Did you mean 'configure_optimizer'",
        ),
    ],
)
def test_a_module_without_what_training_needs(module: Any, message: str) -> None:
    with pytest.raises(ModuleError, match=message):
        trainer().fit(module(), loader(1))


def test_everything_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(ModuleError) as error:
        trainer().fit(without("training_step", "configure_optimizers"))
    text = str(error.value)
    assert [line[:2] for line in text.splitlines()] == ["1.", "2.", "3."]
    assert all(word in text for word in ("training_step", "configure_optimizers", "train_dataloader"))


@pytest.mark.parametrize("call", ["validate", "test"])
def test_an_evaluation_without_its_step(call: str) -> None:
    step = "validation_step" if call == "validate" else "test_step"
    with pytest.raises(ModuleError, match=f"Line has no `{step}`"):
        getattr(trainer(), call)(Line(), loader(1))


def test_prediction_needs_a_step_or_forward() -> None:
    class Neither(LightningModule):
        pass

    with pytest.raises(ModuleError, match="neither `predict_step` nor `forward`"):
        trainer().predict(Neither(), loader(1))


@pytest.mark.parametrize("call", ["fit", "validate", "test", "predict"])
def test_a_run_without_data(call: str) -> None:
    class Whole(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

        test_step = validation_step

    hook = {"fit": "train", "validate": "val"}.get(call, call) + "_dataloader"
    with pytest.raises(ModuleError, match=f"no data for `{call}`.*define `{hook}` in Whole"):
        getattr(trainer(), call)(Whole())


def test_a_data_module_without_the_loader_is_named() -> None:
    class Empty(LightningDataModule):
        pass

    with pytest.raises(ModuleError, match="define `train_dataloader` in Empty"):
        trainer().fit(Line(), datamodule=Empty())


@pytest.mark.parametrize("model", [nn.Linear(4, 1), None, "model"], ids=["nn.Module", "None", "text"])
def test_what_is_no_module_is_told_by_its_type(model: Any) -> None:
    with pytest.raises(ModuleError, match=r"needs a `LightningModule`|No model was given"):
        trainer().fit(model, loader(1))


def test_arguments_in_the_wrong_order_are_told() -> None:
    with pytest.raises(ModuleError, match=r"a DataLoader.*The model comes first: `trainer\.fit\(model, \.\.\.\)`"):
        trainer().fit(loader(1), Line())


def test_a_module_whose_base_was_not_made_is_told_what_to_call() -> None:
    class Bare(LightningModule):
        def __init__(self) -> None:
            self.width = 3

    with pytest.raises(ModuleError, match=r"Bare\.__init__ must call `super\(\)\.__init__\(\)`"):
        trainer().fit(Bare(), loader(1))


def test_classes_in_the_place_of_objects_are_told_as_such() -> None:
    with pytest.raises(ModuleError, match=r"the class Line\. Give an object: `Line\(\)`"):
        trainer().fit(Line, loader(1))
    for given in ({"datamodule": LightningDataModule}, {"train_dataloaders": LightningDataModule}):
        with pytest.raises(ConfigurationError, match=r"It is a class\. Give an object: LightningDataModule\(\)"):
            trainer().fit(Line(), **given)


def test_what_is_no_data_module_and_what_is_no_path_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"datamodule=3: It is no LightningDataModule"):
        trainer().fit(Line(), datamodule=3)
    with pytest.raises(ConfigurationError, match=r"ckpt_path=3: It is no path"):
        trainer().fit(Line(), loader(1), ckpt_path=3)


def test_evaluating_nothing_before_anything_ran() -> None:
    with pytest.raises(ModuleError, match=r"No model was given.*Pass `model`"):
        trainer().validate()


@pytest.mark.parametrize(
    "arguments",
    [{"train_dataloaders": loader(1)}, {"val_dataloaders": loader(1)}],
    ids=["train", "val"],
)
def test_loaders_beside_a_data_module(arguments: dict[str, Any]) -> None:
    class Data(LightningDataModule):
        def train_dataloader(self) -> Any:
            return loader(1)

    with pytest.raises(FulmenError, match=r"datamodule|data module"):
        trainer().fit(Line(), datamodule=Data(), **arguments)


def test_data_that_gives_no_batch() -> None:
    for data in ([], Unsized([]), iter(())):
        with pytest.raises(DataError, match="gave no batch"):
            trainer().fit(Line(), data)


def test_an_iterator_that_is_used_up_is_told_in_the_second_epoch() -> None:
    module = Line()
    with pytest.raises(DataError, match=r"gave no batch.*used up"):
        trainer(max_epochs=2).fit(module, iter(list(loader(2))))


@pytest.mark.parametrize("data", [5, object(), "data/train", [loader(1), 5]])
def test_what_gives_no_batches_is_no_data(data: Any) -> None:
    with pytest.raises(DataError, match="gives no batches"):
        trainer().fit(Line(), data)


@pytest.mark.parametrize("call", ["fit", "predict"])
def test_a_data_set_in_the_place_of_a_loader(call: str) -> None:
    with pytest.raises(DataError, match=r"a TensorDataset, which holds samples.*DataLoader\(dataset, batch_size=32\)"):
        getattr(trainer(), call)(Line(), loader(1).dataset)


def test_several_evaluation_loaders_need_an_index() -> None:
    class NoIndex(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return None

    message = r"2 loaders, but `NoIndex.{0}` takes no `dataloader_idx`.*Define `{0}\(self, batch, batch_idx, dataloader"
    for call, step in (("validate", "validation_step"), ("predict", "predict_step")):
        with pytest.raises(ModuleError, match=message.format(step)):
            getattr(trainer(), call)(NoIndex(), [loader(1), loader(1)])


def test_a_share_that_leaves_no_batch() -> None:
    with pytest.raises(ConfigurationError, match=r"limit_train_batches=0.1.*less than one batch"):
        trainer(limit_train_batches=0.1).fit(Line(), loader(3))


def test_a_share_of_data_without_a_length() -> None:
    with pytest.raises(ConfigurationError, match=r"limit_train_batches=0.5.*does not tell its length"):
        trainer(limit_train_batches=0.5).fit(Line(), Unsized(loader(3)))


@pytest.mark.parametrize(
    ("run", "hint"),
    [
        ({"gradient_clip_val": 0.5}, "self.clip_gradients"),
        ({"accumulate_grad_batches": 2}, "Step every so many batches"),
    ],
)
def test_what_the_trainer_cannot_do_under_manual_optimisation(run: dict[str, Any], hint: str) -> None:
    class Manual(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

    (argument,) = run
    with pytest.raises(ModuleError, match=f"{argument}=.*optimisation is manual.*{re.escape(hint)}"):
        trainer(**run).fit(Manual(), loader(1))


def test_manual_backward_under_automatic_optimisation() -> None:
    class Confused(Line):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.manual_backward(self.loss(batch))

    with pytest.raises(ModuleError, match="automatic_optimization = False"):
        trainer().fit(Confused(), loader(1))


def test_callbacks_of_the_module_must_be_callbacks() -> None:
    class Wrong(Line):
        def configure_callbacks(self) -> Any:
            return [Callback(), "early_stopping"]

    with pytest.raises(ModuleError, match="returned 'early_stopping' among its callbacks"):
        trainer().fit(Wrong(), loader(1))


def test_a_module_may_have_no_callbacks() -> None:
    class None_(Line):
        def configure_callbacks(self) -> Any:
            return None

    trainer().fit(None_(), loader(1))


def test_half_a_validation_is_warned_of() -> None:
    class Step(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise AssertionError

    with pytest.warns(UserWarning, match="There is validation data, but Line has no `validation_step`"):
        trainer().fit(Line(), loader(1), loader(1))
    with pytest.warns(UserWarning, match="Step has a `validation_step`, but there is no validation data"):
        trainer().fit(Step(), loader(1))


def test_near_misses_of_hooks_are_warned_of_when_the_run_starts() -> None:
    class Typos(Line):
        def validaton_step(self, batch: Any, batch_idx: int) -> None:
            pass

        def on_train_epoch_stop(self) -> None:
            pass

        def on_epoch_end(self) -> None:
            pass

        def my_helper(self) -> None:
            pass

    class Watch(Callback):
        def on_train_epoch_finish(self, trainer: Any, pl_module: Any) -> None:
            pass

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        trainer(callbacks=[Watch()]).fit(Typos(), loader(1))
    texts = "\n".join(str(one.message) for one in warned)
    assert re.search(r"Typos.validaton_step.*Did you mean validation_step", texts)
    assert re.search(r"Typos.on_train_epoch_stop.*Did you mean on_train_epoch_end", texts)
    assert re.search(r"Typos.on_epoch_end.*Nothing calls it any more.*on_train_epoch_end", texts)
    assert re.search(r"Watch.on_train_epoch_finish.*Did you mean on_train_epoch_end", texts)
    assert "my_helper" not in texts


def test_hooks_of_earlier_versions_that_computed_metrics_are_errors() -> None:
    class Old(Line):
        def training_epoch_end(self, outputs: Any) -> None:
            pass

    with pytest.raises(ModuleError, match=r"Old defines `training_epoch_end`.*use it in on_train_epoch_end"):
        trainer().fit(Old(), loader(1))


def test_the_trainer_asks_for_a_run_where_it_knows_nothing_yet() -> None:
    new = trainer()
    with pytest.raises(ModuleError, match="no model was prepared yet"):
        new.save_checkpoint("x.ckpt")
    with pytest.raises(ModuleError, match=r"'ddp_spawn' models are prepared in processes of a run's own.*on_train_end"):
        trainer(strategy="ddp_spawn", devices=2).save_checkpoint("x.ckpt")
    with pytest.raises(ModuleError, match="known during `fit`"):
        _ = new.estimated_stepping_batches
    with pytest.raises(ModuleError, match="nothing runs"):
        new.should_stop = True
