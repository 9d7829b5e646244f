"""Objects made again, with a module as small as `load_module` allows."""

import argparse
import io
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from fulmen_core._class_only import class_only
from fulmen_core.checkpoint import TorchCheckpointIO, load_datamodule, load_module
from fulmen_core.hparams import DATAMODULE_KEYS, MODULE_KEYS, HyperparametersMixin, dump_hyperparameters
from fulmen_interfaces import CheckpointError


class Model(HyperparametersMixin, nn.Module):
    strict_loading = True

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def configure_model(self):
        pass

    def on_load_checkpoint(self, checkpoint):
        pass

    @class_only
    def load_from_checkpoint(cls, path, strict=None, hparams_file=None, weights_only=None, map_location=None, **kwargs):
        return load_module(
            cls,
            path,
            strict=strict,
            hparams_file=hparams_file,
            weights_only=weights_only,
            map_location=map_location,
            overrides=kwargs,
        )


class ByKeyword(Model):
    def __init__(self, width, root=Path("."), **others):
        super().__init__()
        self.save_hyperparameters()
        self.given = (width, root, others)


class ByContainer(Model):
    def __init__(self, config, verbose=False):
        super().__init__()
        self.save_hyperparameters(config)
        self.given = (config, verbose)


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "model.ckpt")


def save(model, path, **entries):
    checkpoint = {"state_dict": model.state_dict(), **dump_hyperparameters(model, MODULE_KEYS), **entries}
    TorchCheckpointIO().save(checkpoint, path)


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("no_warning")
def test_weights_and_arguments_come_back(file):
    model = ByKeyword(3, root=Path("data"), depth=2)
    save(model, file)
    again = ByKeyword.load_from_checkpoint(file)
    assert again.given == (3, Path("data"), {"depth": 2})
    assert again.layer.weight.equal(model.layer.weight)
    assert again.hparams == model.hparams
    assert again.training


@pytest.mark.usefixtures("no_warning")
def test_keywords_override_and_open_files_and_paths_are_taken(file):
    save(ByKeyword(3), file)
    assert ByKeyword.load_from_checkpoint(Path(file), width=4, extra=1).given == (4, Path("."), {"extra": 1})
    with open(file, "rb") as stream:
        assert ByKeyword.load_from_checkpoint(stream).given[0] == 3
    assert ByKeyword.load_from_checkpoint(io.BytesIO(Path(file).read_bytes())).given[0] == 3


@pytest.mark.usefixtures("no_warning")
def test_changes_of_hparams_are_what_is_stored(file):
    model = ByKeyword(3)
    model.hparams.width = 30
    save(model, file)
    assert ByKeyword.load_from_checkpoint(file).given[0] == 30


@dataclass(frozen=True)
class Config:
    depth: int
    root: Path


@pytest.mark.usefixtures("no_warning")
@pytest.mark.parametrize(
    "config",
    [
        {"depth": 1, "root": Path("a")},
        argparse.Namespace(depth=1, root=Path("a")),
        OrderedDict(depth=1, root=Path("a")),
        Config(1, Path("a")),
    ],
)
def test_a_container_comes_back_as_what_it_was(file, config):
    save(ByContainer(config), file)
    again = ByContainer.load_from_checkpoint(file, verbose=True)
    assert again.given == (config, True)
    if not isinstance(config, dict) or type(config) is not dict:
        assert type(again.given[0]) is type(config)
    assert ByContainer.load_from_checkpoint(file, config={"depth": 9}).given == ({"depth": 9}, False)
    assert again.hparams.depth == 1


@pytest.mark.usefixtures("no_warning")
def test_single_items_of_a_container_are_overridden(file):
    save(ByContainer({"depth": 1, "width": 2}), file)
    assert ByContainer.load_from_checkpoint(file, depth=5).given == ({"depth": 5, "width": 2}, False)


@pytest.mark.usefixtures("no_warning")
def test_arguments_that_only_a_base_class_takes_are_not_given_to_the_subclass(file):
    class Child(ByKeyword):
        def __init__(self, size, **others):
            super().__init__(width=size * 2, **others)

    save(Child(2, depth=1), file)
    again = Child.load_from_checkpoint(file)
    assert again.hparams == {"size": 2, "width": 4, "root": Path("."), "depth": 1}
    assert again.given == (4, Path("."), {"depth": 1})


@pytest.mark.usefixtures("no_warning")
def test_a_class_that_takes_fewer_arguments_gets_those(file):
    class Fewer(Model):
        def __init__(self, width):
            super().__init__()
            self.width = width

    save(ByKeyword(3, depth=4), file)
    assert Fewer.load_from_checkpoint(file).width == 3
    assert type(Model.load_from_checkpoint(file)) is Model


def test_an_override_that_nobody_takes_is_reported(file):
    class Fewer(Model):
        def __init__(self, width):
            super().__init__()

    save(ByKeyword(3), file)
    with pytest.warns(UserWarning, match=r"'widht'.*ignored.*Did you mean 'width'"):
        Fewer.load_from_checkpoint(file, widht=4)


class WithModule(Model):
    def __init__(self, backbone, loss=nn.functional.mse_loss, width=1):
        super().__init__()
        self.save_hyperparameters()
        self.given = (backbone, loss, width)


def test_what_cannot_be_stored_is_reported_once_and_asked_for_when_loading(file):
    model = WithModule(nn.Identity())
    with pytest.warns(UserWarning, match=r"leaves out .*'backbone' \(torch.*Identity\), 'loss'"):
        save(model, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(model, file)
    with pytest.raises(CheckpointError, match=r"'backbone': it was left out.*backbone=\.\.\."):
        WithModule.load_from_checkpoint(file)
    with pytest.warns(UserWarning, match="'loss' of WithModule has its default value"):
        WithModule.load_from_checkpoint(file, backbone=nn.Identity())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = WithModule.load_from_checkpoint(file, backbone=None, loss=None)
    assert again.given == (None, None, 1)


def test_what_a_container_lost_is_reported_when_it_is_loaded(file):
    with pytest.warns(UserWarning, match="leaves out"):
        save(ByContainer({"depth": 1, "fn": len}), file)
    with pytest.warns(UserWarning, match="'config' lacks the hyper-parameter 'fn'"):
        assert ByContainer.load_from_checkpoint(file).given[0] == {"depth": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ByContainer.load_from_checkpoint(file, fn=max).given[0] == {"depth": 1, "fn": max}


def test_an_argument_that_was_never_saved_is_asked_for(file):
    class Needy(Model):
        def __init__(self, width, net):
            super().__init__()
            self.save_hyperparameters(ignore="net")

    save(Needy(1, nn.Identity()), file)
    with pytest.raises(CheckpointError, match=r"'net': the checkpoint does not hold it.*net=\.\.\."):
        Needy.load_from_checkpoint(file)
    assert Needy.load_from_checkpoint(file, net=nn.Identity()).hparams == {"width": 1}


def test_it_is_refused_on_an_object_but_can_be_looked_at():
    model = Model()
    assert callable(model.load_from_checkpoint)
    with pytest.raises(TypeError, match=r"new = Model\.load_from_checkpoint"):
        model.load_from_checkpoint("x.ckpt")


def test_weights_that_do_not_fit_are_an_error_unless_asked_not_to_be(file):
    class Larger(Model):
        def __init__(self):
            super().__init__()
            self.more = nn.Linear(1, 1)

    class Lenient(Larger):
        strict_loading = False

    save(Model(), file)
    with pytest.raises(RuntimeError, match=r"more\.weight"):
        Larger.load_from_checkpoint(file)
    with pytest.warns(UserWarning, match=r"lacks these weights of Larger.*more\.weight, more\.bias"):
        Larger.load_from_checkpoint(file, strict=False)
    with pytest.warns(UserWarning, match="lacks these weights"):
        Lenient.load_from_checkpoint(file)
    save(Larger(), file)
    with pytest.warns(UserWarning, match=r"no place: more\.weight, more\.bias"):
        Model.load_from_checkpoint(file, strict=False)


def test_configure_model_then_on_load_checkpoint_then_weights(file):
    order = []

    class Recording(Model):
        def __init__(self):
            super().__init__()
            del self.layer

        def configure_model(self):
            order.append("configure_model")
            self.layer = nn.Linear(2, 1)

        def on_load_checkpoint(self, checkpoint):
            order.append("on_load_checkpoint")
            checkpoint["state_dict"]["layer.bias"].fill_(7.0)

        def load_state_dict(self, state_dict, strict=True):
            order.append("load_state_dict")
            return super().load_state_dict(state_dict, strict)

    save(Model(), file)
    assert Recording.load_from_checkpoint(file).layer.bias.item() == 7.0
    assert order == ["configure_model", "on_load_checkpoint", "load_state_dict"]


def test_a_file_of_hyper_parameters_takes_their_place(file, tmp_path):
    save(ByKeyword(3, root=Path("a"), depth=1), file)
    written = tmp_path / "h.csv"
    written.write_text("key,value\nwidth,8\n")
    again = ByKeyword.load_from_checkpoint(file, hparams_file=written)
    assert again.given == (8, Path("."), {})
    assert ByKeyword.load_from_checkpoint(file, hparams_file=written, width=9).given[0] == 9


def test_a_file_without_weights_says_what_it_holds(file):
    TorchCheckpointIO().save(Model().state_dict(), file)
    with pytest.raises(CheckpointError, match=r"no `state_dict`, only layer\.weight, layer\.bias"):
        Model.load_from_checkpoint(file)


def test_a_model_comes_back_on_the_device_that_was_asked_for(file):
    save(Model(), file)
    assert Model.load_from_checkpoint(file, map_location="cpu").layer.weight.device.type == "cpu"


class Data(HyperparametersMixin):
    def __init__(self, root, batch_size=1):
        self.save_hyperparameters()
        self.state = None

    def load_state_dict(self, state_dict):
        self.state = state_dict


@pytest.mark.usefixtures("no_warning")
def test_a_data_module_is_made_from_its_own_entries(file):
    data = Data(Path("root"), 3)
    entries = dump_hyperparameters(data, DATAMODULE_KEYS)
    save(ByKeyword(3), file, **entries, **{Data.__qualname__: {"position": 4}})
    again = load_datamodule(Data, file, overrides={"batch_size": 5})
    assert again.hparams == {"root": Path("root"), "batch_size": 5}
    assert again.state == {"position": 4}


# -- files of Lightning ------------------------------------------------------------------------------------------------


def lightning_file(path, name, values, **entries):
    """As Lightning 2.6 lays it out."""
    torch.save(
        {
            "epoch": 1,
            "global_step": 6,
            "pytorch-lightning_version": "2.6.6",
            "state_dict": OrderedDict(Model().state_dict()),
            "loops": {},
            "callbacks": {},
            "optimizer_states": [],
            "lr_schedulers": [],
            "hparams_name": name,
            "hyper_parameters": values,
            **entries,
        },
        path,
    )


@pytest.mark.usefixtures("no_warning")
def test_files_of_lightning_load(file):
    lightning_file(file, "kwargs", {"width": 3, "depth": 1})
    assert ByKeyword.load_from_checkpoint(file).given == (3, Path("."), {"depth": 1})
    lightning_file(file, "config", {"depth": 1})
    config, _ = ByContainer.load_from_checkpoint(file).given
    assert (config["depth"], config.depth) == (1, 1)
    lightning_file(file, None, {"width": 3})
    assert ByKeyword.load_from_checkpoint(file).given[0] == 3
    lightning_file(file, "kwargs", {}, datamodule_hparams_name="kwargs", datamodule_hyper_parameters={"root": "r"})
    assert load_datamodule(Data, file, overrides={}).hparams.root == "r"


def test_a_file_of_lightning_with_other_objects_says_how_it_can_be_trusted(file):
    lightning_file(file, "kwargs", {"width": 3, "root": Path("a")})
    with pytest.raises(CheckpointError, match=r"holds pathlib\.\w+,.*weights_only=False"):
        ByKeyword.load_from_checkpoint(file)
    assert ByKeyword.load_from_checkpoint(file, weights_only=False).given == (3, Path("a"), {})


def test_our_entries_are_those_that_lightning_reads():
    assert dump_hyperparameters(ByKeyword(3, root="a", depth=1), MODULE_KEYS) == {
        "hparams_name": "kwargs",
        "hyper_parameters": {"width": 3, "root": "a", "depth": 1},
    }
    assert dump_hyperparameters(ByContainer({"a": 1}), MODULE_KEYS) == {
        "hparams_name": "config",
        "hyper_parameters": {"a": 1},
    }
    assert dump_hyperparameters(Model(), MODULE_KEYS) == {}
