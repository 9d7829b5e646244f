"""Hyper-parameters: recorded when an object is made, stored so that a checkpoint can make it again."""

from __future__ import annotations

from fulmen_core.hparams._attribute_dict import AttributeDict
from fulmen_core.hparams._encode import DecodedHparams, EncodedHparams, decode_hparams, encode_hparams
from fulmen_core.hparams._files import (
    load_hparams,
    load_hparams_from_tags_csv,
    load_hparams_from_yaml,
    save_hparams_to_tags_csv,
    save_hparams_to_yaml,
)
from fulmen_core.hparams._mixin import HyperparametersMixin, SavedHyperparameters, hyperparameters_of
from fulmen_core.hparams._remake import make_again
from fulmen_core.hparams._stored import (
    DATAMODULE_KEYS,
    MODULE_KEYS,
    HparamsKeys,
    dump_hyperparameters,
    hyperparameters_to_log,
)

__all__ = [
    "DATAMODULE_KEYS",
    "MODULE_KEYS",
    "AttributeDict",
    "DecodedHparams",
    "EncodedHparams",
    "HparamsKeys",
    "HyperparametersMixin",
    "SavedHyperparameters",
    "decode_hparams",
    "dump_hyperparameters",
    "encode_hparams",
    "hyperparameters_of",
    "hyperparameters_to_log",
    "load_hparams",
    "load_hparams_from_tags_csv",
    "load_hparams_from_yaml",
    "make_again",
    "save_hparams_to_tags_csv",
    "save_hparams_to_yaml",
]
