import argparse
import copy
import inspect
import pickle
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fulmen_core.hparams import AttributeDict, HyperparametersMixin, hyperparameters_of, hyperparameters_to_log
from fulmen_interfaces import ConfigurationError


class Base(HyperparametersMixin, nn.Module):
    pass


class Everything(Base):
    def __init__(self, a, b=2, *rest, c=3, **others):
        super().__init__()
        self.save_hyperparameters()


class Picked(Base):
    def __init__(self, a, b=2):
        super().__init__()
        self.save_hyperparameters("a")


class FromContainer(Base):
    def __init__(self, config, extra=None):
        super().__init__()
        self.save_hyperparameters(config)


def test_all_arguments_are_recorded_with_defaults_and_keywords():
    assert Everything(1, c=5, z=9).hparams == {"a": 1, "b": 2, "c": 5, "z": 9}


def test_positional_rest_has_no_name_and_is_left_out():
    assert Everything(1, 2, 30, 40).hparams == {"a": 1, "b": 2, "c": 3}


def test_names_choose():
    assert Picked(1).hparams == {"a": 1}


def test_an_unknown_name_is_an_error_that_names_the_near_one():
    class Misspelt(Base):
        def __init__(self, hidden_size):
            super().__init__()
            self.save_hyperparameters("hiden_size")

    with pytest.raises(ConfigurationError, match=r"hiden_size.*Did you mean 'hidden_size'"):
        Misspelt(3)


@pytest.mark.parametrize("ignore", ["b", ["b"], ("b", "nothing of that name")])
def test_ignored_names_are_left_out(ignore):
    class Ignoring(Base):
        def __init__(self, a, b):
            super().__init__()
            self.save_hyperparameters(ignore=ignore)

    assert Ignoring(1, 2).hparams == {"a": 1}


def test_ignoring_also_drops_what_a_base_class_recorded():
    class Child(Everything):
        def __init__(self, a, net):
            super().__init__(a)
            self.save_hyperparameters(ignore="net")

    assert Child(1, "a large object").hparams == {"a": 1, "b": 2, "c": 3}


def test_a_base_class_that_saves_also_sees_the_arguments_of_its_subclass():
    class Child(Everything):
        def __init__(self, d, e=7, **others):
            super().__init__(a=d, **others)

    assert Child(1, c=8).hparams == {"a": 1, "b": 2, "c": 8, "d": 1, "e": 7}


def test_the_outermost_argument_of_a_name_counts():
    class Doubling(Everything):
        def __init__(self, a):
            super().__init__(a * 2)

    assert Doubling(1).hparams.a == 1


def test_values_are_those_of_the_time_of_the_call():
    class Early(Base):
        def __init__(self, a):
            self.save_hyperparameters()
            a = a * 10
            super().__init__()

    class Late(Base):
        def __init__(self, a):
            super().__init__()
            a = a * 10
            self.save_hyperparameters()

    assert (Early(1).hparams.a, Late(1).hparams.a) == (1, 10)


def test_another_object_made_meanwhile_records_its_own_arguments():
    class Outer(Base):
        def __init__(self, a):
            super().__init__()
            self.inner = Picked(5)
            self.save_hyperparameters()

    outer = Outer(1)
    assert (outer.hparams.a, outer.inner.hparams.a) == (1, 5)


def test_it_may_be_called_in_a_helper_or_with_a_frame():
    class Helped(Base):
        def __init__(self, a):
            super().__init__()
            self.remember()

        def remember(self, unrelated=1):
            self.save_hyperparameters()

    class Framed(Base):
        def __init__(self, a):
            super().__init__()
            remember(self, inspect.currentframe())

    def remember(module, frame):
        module.save_hyperparameters("a", frame=frame)

    assert Helped(1).hparams == {"a": 1}
    assert Framed(2).hparams == {"a": 2}


def test_a_dataclass_with_a_generated_init_works():
    @dataclass(eq=False)
    class Generated(Base):
        a: int
        b: str = "x"

        def __post_init__(self):
            super().__init__()
            self.save_hyperparameters()

    assert Generated(4).hparams == {"a": 4, "b": "x"}


@dataclass
class Config:
    depth: int = 2
    name: str = "n"


@pytest.mark.parametrize(
    "config",
    [
        {"depth": 2, "name": "n"},
        AttributeDict(depth=2, name="n"),
        argparse.Namespace(depth=2, name="n"),
        Config(),
    ],
)
def test_one_container_is_recorded_item_by_item_under_its_argument(config):
    module = FromContainer(config)
    assert module.hparams == {"depth": 2, "name": "n"}
    assert hyperparameters_of(module).container == "config"


def test_a_copy_of_a_dict_argument_is_known_as_that_argument():
    class Copying(Base):
        def __init__(self, config):
            super().__init__()
            self.save_hyperparameters(dict(config))

    class Building(Base):
        def __init__(self, a):
            super().__init__()
            self.save_hyperparameters({"a": a})

    assert hyperparameters_of(Copying({"a": 1})).container == "config"
    assert hyperparameters_of(Building(1)).container is None


@pytest.mark.parametrize("config", [3, object(), nn.Linear(1, 1), Config, SimpleNamespace])
def test_what_has_no_named_items_is_refused(config):
    with pytest.raises(ConfigurationError, match="has no named items"):
        FromContainer(config)


def test_two_containers_are_refused():
    class Two(Base):
        def __init__(self, one, other):
            super().__init__()
            self.save_hyperparameters(one, other)

    with pytest.raises(ConfigurationError, match="one object"):
        Two({}, {})


def test_later_calls_add_and_the_last_one_says_whether_loggers_get_them():
    class Twice(Base):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"x": 1})
            self.save_hyperparameters({"y": 2}, logger=False)

    module = Twice()
    assert module.hparams == {"x": 1, "y": 2}
    assert hyperparameters_to_log(module) is None


def test_initial_values_do_not_follow_later_changes():
    layers = [1]
    module = Everything(layers)
    layers.append(2)
    module.hparams.b = 20
    module.hparams["new"] = 0
    assert module.hparams == {"a": [1, 2], "b": 20, "c": 3, "new": 0}
    assert module.hparams_initial == {"a": [1], "b": 2, "c": 3}
    module.hparams_initial["a"].append(3)
    assert module.hparams_initial.a == [1]


def test_what_cannot_be_copied_is_kept_as_it_is():
    net, words = nn.Linear(1, 1), (word for word in "ab")
    not_a_leaf = torch.ones(2, requires_grad=True) * 2
    module = Everything(net, words, c=not_a_leaf)
    assert module.hparams_initial.a is net
    assert module.hparams_initial.b is words
    assert module.hparams_initial.c is not_a_leaf


def test_without_a_call_there_are_none():
    module = Base()
    assert module.hparams == {}
    assert module.hparams_initial == {}
    assert hyperparameters_of(module) is None


def test_objects_do_not_share_a_record():
    one, other = Base(), Base()
    one.hparams.a = 1
    assert other.hparams == {}
    assert Base().hparams == {}


def test_assigning_hparams_tells_what_to_call():
    with pytest.raises(AttributeError, match=r"save_hyperparameters\(hparams\)"):
        Base().hparams = {"a": 1}


def test_copies_and_pickles_of_a_module_keep_their_own():
    module = Everything(1)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        twin.hparams.a = 2
        assert twin.hparams_initial.a == 1
    assert module.hparams.a == 1


def test_it_works_without_a_module():
    class Plain(HyperparametersMixin):
        def __init__(self, root):
            self.save_hyperparameters()

    assert Plain("r").hparams == {"root": "r"}


def test_loggers_get_the_initial_values_of_all_objects():
    model, data = Everything(1), Picked(1)
    model.hparams.b = 99
    assert hyperparameters_to_log(model, data, None) == {"a": 1, "b": 2, "c": 3}


def test_two_values_under_one_name_are_an_error_for_loggers():
    with pytest.raises(ConfigurationError, match=r"Picked.hparams\['a'\]=2.*has 1 under that name"):
        hyperparameters_to_log(Everything(1), Picked(2))
    same = torch.ones(3)
    assert hyperparameters_to_log(Everything(same), Picked(torch.ones(3)))["a"].equal(same)
