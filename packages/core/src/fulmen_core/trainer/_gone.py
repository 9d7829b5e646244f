"""Attributes that Trainers had once, or have elsewhere: reading one says what to write today."""

from __future__ import annotations

from typing import NoReturn

_LOOP = (
    "Loops are functions here, and are not replaced. Progress is in trainer.current_epoch, trainer.global_step and "
    "trainer.num_training_batches; how long to train is told to Trainer(max_epochs=..., max_steps=...). For a loop of "
    "your own, write it in plain torch."
)
_ARGPARSE = (
    "Add the arguments that you need to a parser of your own, and write Trainer(**vars(parser.parse_args())); "
    "LightningCLI makes a whole command line."
)


class Gone:
    """An attribute that is not there any more, on classes and on objects."""

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(f"A {owner.__name__} has no `{self._name}`. {self._remedy}", name=self._name)

    def __set__(self, instance: object, value: object) -> NoReturn:
        self.__get__(instance, type(instance))


class FormerAttributes:
    """What older programs and documents ask a Trainer for."""

    fit_loop = Gone(_LOOP)
    validate_loop = Gone(_LOOP)
    test_loop = Gone(_LOOP)
    predict_loop = Gone(_LOOP)
    add_argparse_args = Gone(_ARGPARSE)
    from_argparse_args = Gone(_ARGPARSE)
    parse_argparser = Gone(_ARGPARSE)
