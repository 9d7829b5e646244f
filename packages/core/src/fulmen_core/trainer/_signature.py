"""The signature of a Trainer, for what reads it at run time: notebooks, `help`, command lines."""

from __future__ import annotations

from dataclasses import fields
from inspect import Parameter, Signature


class ArgumentsWithDefaults:
    """A class attribute `__signature__`: `Trainer` takes `**arguments`, so that it knows which were given."""

    def __get__(self, instance: object, owner: type) -> Signature:
        from fulmen_core.settings import TrainerSettings  # only who asks pays for the import
        from fulmen_core.trainer._arguments import TrainerArguments

        defaults = {field.name: field.default for field in fields(TrainerSettings)}
        return Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, default=defaults[name], annotation=one.__forward_arg__)
                for name, one in TrainerArguments.__annotations__.items()
            ]
        )
