"""Tables and media as Weights & Biases takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def table(columns: list[str | int] | None, rows: list[list[Any]] | None, dataframe: Any) -> Any:
    """Return a table of rows, or of a data frame."""
    import wandb

    if dataframe is not None:
        return wandb.Table(dataframe=dataframe)
    return wandb.Table(columns=columns, data=rows)


def media(make: Callable[..., Item], items: Sequence[Any], settings: Mapping[str, Any]) -> list[Item]:
    """Return the items made into media; each setting is a list with one value per item."""
    if not isinstance(items, (list, tuple)):
        raise TypeError(
            f"Media were asked for with a {type(items).__name__}. They are logged several at a time, under one name. "
            "Pass a list, with one item if there is only one."
        )
    for name, values in settings.items():
        if not isinstance(values, (list, tuple)) or len(values) != len(items):
            raise ValueError(
                f"Media were asked for with {name}={values!r}. There are {len(items)} items, and each needs a value "
                f"of its own. Pass a list of {len(items)}."
            )
    return [make(item, **{name: values[at] for name, values in settings.items()}) for at, item in enumerate(items)]
