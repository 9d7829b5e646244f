"""How the running program was started, so that it can be started again."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from fulmen_interfaces import ConfigurationError, Problem

CHILD = "fulmen_distributed._child"
_NOT_PASSED_ON = str.maketrans("", "", "imc")
_WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")


def command(rank: int) -> list[str]:
    """Return the command that runs the present program once more, as another rank.

    Raises ConfigurationError where there is no program that could be run: at a prompt, or from `python -c`.
    """
    return [sys.executable, *interpreter_options(sys.orig_argv), "-m", CHILD, *program(), *_hydra_overrides(rank)]


def program() -> list[str]:
    """Return `module NAME args` or `script PATH args`."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None and spec.name != "__main__":
        return ["module", spec.name.removesuffix(".__main__"), *sys.argv[1:]]
    path = file if spec is None else os.path.dirname(file or "")  # a folder or an archive with a `__main__.py`
    if not path or not os.path.exists(path):
        reason = "Every process is to run this script, but there is none: the code comes from a prompt or `python -c`."
        raise ConfigurationError([Problem("strategy", "ddp", reason, "Use 'ddp_fork', or write a script file.")])
    return ["script", os.path.abspath(path), *sys.argv[1:]]


def interpreter_options(arguments: Sequence[str]) -> list[str]:
    """Return Python's own options (`-u -X dev`) of a command line, but `-i`: only one process can own the prompt."""
    options: list[str] = []
    rest = iter(arguments[1:])
    for word in rest:
        if not word.startswith("-") or word == "-":
            break
        if word in _WITH_VALUE:
            options += [word, next(rest, "")]
        elif word.startswith(("--", "-X", "-W")):
            options.append(word)
        else:
            letters = word.translate(_NOT_PASSED_ON)
            options += [letters] if letters != "-" else []
            if "m" in word or "c" in word:  # also as the last of several letters: -um
                break
    return options


def _hydra_overrides(rank: int) -> list[str]:
    """Where hydra runs the program: keep its working folder, and give each rank a log of its own."""
    config = _hydra_config()
    if config is None:
        return []
    return [
        f'hydra.run.dir="{config.run.dir}"',
        f"hydra.job.name=rank_{rank}",
        "hydra.output_subdir=null",
    ]


def _hydra_config() -> Any:
    if "hydra" not in sys.modules:
        return None
    from hydra.core.hydra_config import HydraConfig  # type: ignore[import-not-found, unused-ignore]

    return HydraConfig.get() if HydraConfig.initialized() else None


def working_folder() -> str | None:
    """Return the folder in which the program was started, where hydra has left it; None: the present one."""
    if _hydra_config() is None:
        return None
    from hydra.utils import get_original_cwd  # type: ignore[import-not-found, unused-ignore]

    folder: str = get_original_cwd()
    return folder
