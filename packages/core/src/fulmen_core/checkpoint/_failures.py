"""What goes wrong with checkpoint files, told so that a user can act."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import torch

from fulmen_core.checkpoint._places import is_remote, local_path
from fulmen_interfaces import CheckpointError

Explain = Callable[[Exception, str], str]


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn what goes wrong into a CheckpointError with the path, the reason and what would work."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {_why(error, path, _READING)}", path) from error


@contextmanager
def writing(path: str, checkpoint: Mapping[str, Any]) -> Iterator[None]:
    """Likewise, and tell which entry cannot be pickled where that is the reason."""
    try:
        yield
    except CheckpointError:
        raise
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        entries = ", ".join(map(repr, _unpicklable(checkpoint))) or "it"
        raise CheckpointError(
            f"The checkpoint {path} cannot be written: {entries} holds what cannot be pickled ({error}). "
            "Keep tensors and plain values in checkpoints.",
            path,
        ) from error
    except Exception as error:
        raise CheckpointError(f"The checkpoint {path} cannot be written: {_why(error, path, _OTHER)}", path) from error


@contextmanager
def removing(path: str) -> Iterator[None]:
    """Turn what goes wrong into a CheckpointError with the path and the reason."""
    try:
        yield
    except Exception as error:
        raise CheckpointError(f"The checkpoint {path} cannot be removed: {_why(error, path, _OTHER)}", path) from error


def damaged(path: str, record: str) -> CheckpointError:
    """Return the error for a file in which a record's content has changed."""
    return CheckpointError(
        f"The checkpoint {path} cannot be read: its record {record} is damaged, its checksum disagrees. "
        "Use another checkpoint, or a copy of this one.",
        path,
    )


class _Sink:
    """As much of a file as `torch.save` uses."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass


def _unpicklable(checkpoint: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in checkpoint.items():
        try:
            torch.save(value, cast(IO[bytes], _Sink()))
        except (pickle.PicklingError, AttributeError, TypeError):
            found.append(key)
    return found


def _why(error: Exception, path: str, explanations: tuple[tuple[type[Exception], Explain], ...]) -> str:
    for kind, explain in explanations:
        if isinstance(error, kind):
            return explain(error, path)
    return f"{type(error).__name__}: {error}"


def _absent(error: Exception, path: str) -> str:
    parent = Path(local_path(path)).parent
    if is_remote(path) or not parent.is_dir():
        return "it is not there. Check the path."
    beside = sorted(one.name for one in parent.iterdir() if not one.name.startswith("."))
    shown = ", ".join(beside[:10]) + (f" and {len(beside) - 10} more" if len(beside) > 10 else "")
    return f"it is not there. {parent.absolute()} holds {shown or 'nothing'}."


def _directory(error: Exception, path: str) -> str:
    return "it is a directory. Give the path of a file."


def _system(error: Exception, path: str) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = "the path and the connection" if is_remote(path) else "the path, its permissions and the space left"
    return f"{reason}. Check {remedy}."


def _unsafe(error: Exception, path: str) -> str:
    text = str(error)
    if "weights only" not in text.lower() and "weights_only" not in text:
        return f"it is damaged or no checkpoint ({error})."
    found = text.partition("GLOBAL ")[2].split(" ", 1)[0] or "an object"
    return (
        f"it holds {found}, and only tensors and plain values are loaded safely. If you trust who wrote the file, pass "
        "`weights_only=False`, or declare the class safe with `torch.serialization.add_safe_globals([...])`."
    )


def _unknown_class(error: Exception, path: str) -> str:
    return f"it needs a class that is not here ({error}). Import or install what defines it."


def _of_torch(error: Exception, path: str) -> str:
    first = str(error).splitlines()[0].partition(". ")[0].rstrip(".")
    if "PytorchStreamReader" in first or "corrupt" in first:
        return f"it is damaged or no checkpoint ({first}). Use another, or a copy of this one."
    return str(error)


def _damaged(error: Exception, path: str) -> str:
    return f"it is damaged or no checkpoint ({type(error).__name__}: {error})."


_OTHER: tuple[tuple[type[Exception], Explain], ...] = ((IsADirectoryError, _directory), (OSError, _system))
_READING: tuple[tuple[type[Exception], Explain], ...] = (
    (FileNotFoundError, _absent),
    *_OTHER,
    (pickle.UnpicklingError, _unsafe),
    (ImportError, _unknown_class),
    (AttributeError, _unknown_class),
    (RuntimeError, _of_torch),
    (Exception, _damaged),
)
