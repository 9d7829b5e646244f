"""Class methods that are easily mistaken for methods of an object."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    class_only = classmethod
else:

    class class_only(classmethod):
        """A class method that refuses to be called on an object, where its result would easily be thrown away."""

        def __get__(self, instance: object, owner: type | None = None) -> Callable[..., Any]:
            """Return the method of the class; on an object, a function that raises when it is called."""
            method = super().__get__(None, owner if owner is not None else type(instance))
            if instance is None:
                return method
            return functools.wraps(method)(functools.partial(_refuse, type(instance).__name__, self.__name__))


def _refuse(owner: str, method: str, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(
        f"`{method}` was called on an object of {owner}, but it makes a new object and leaves this one as it is. "
        f"Write `new = {owner}.{method}(...)`."
    )
