import copy
import pickle

import pytest

from fulmen_core.hparams import AttributeDict


def test_items_are_attributes_to_read_set_and_delete():
    values = AttributeDict(lr=0.1)
    values.depth = 3
    values["name"] = "a"
    assert (values.lr, values["depth"], values.name) == (0.1, 3, "a")
    del values.lr
    assert values == {"depth": 3, "name": "a"}


def test_an_absent_item_raises_what_its_spelling_promises():
    values = AttributeDict(lr=0.1)
    with pytest.raises(AttributeError, match="no 'depth' here; it holds lr"):
        _ = values.depth
    with pytest.raises(AttributeError, match="no 'depth' here"):
        del values.depth
    with pytest.raises(KeyError):
        values["depth"]
    assert not hasattr(values, "depth")


def test_copies_and_pickles_stay_attribute_dicts():
    values = AttributeDict(layers=[1, 2])
    for twin in (copy.deepcopy(values), pickle.loads(pickle.dumps(values))):
        assert type(twin) is AttributeDict
        assert twin == values
        assert twin.layers is not values.layers


def test_it_prints_a_line_per_item_in_columns():
    assert repr(AttributeDict(width=3, lr=0.1)) == '"lr":    0.1\n"width": 3'
