"""The umbrella: names are those of the distributions, and cost nothing until they are used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import fulmen
from fulmen._lazy import Offer, lazily

SUBMODULES = [
    *("accelerators", "callbacks", "fabric", "loggers", "plugins"),
    *("profilers", "strategies", "tuner", "utilities"),
]


def in_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_it_imports_nothing_else():
    code = (
        "from __future__ import annotations\nimport sys, typing, importlib.util\n"
        "before = set(sys.modules)\n"
        "import fulmen\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert in_new_process(code) == "fulmen fulmen._lazy"


@pytest.mark.parametrize("submodule", SUBMODULES)
def test_importing_a_submodule_imports_no_torch(submodule):
    assert in_new_process(f"import sys, fulmen.{submodule}; print('torch' in sys.modules)") == "False"


def test_asking_for_a_callback_imports_no_core():
    code = "import sys; from fulmen.callbacks import Callback; print('fulmen_core' in sys.modules)"
    assert in_new_process(code) == "False"


@pytest.mark.parametrize(
    "name", ["Trainer", "LightningModule", "LightningDataModule", "CombinedLoader", "seed_everything"]
)
def test_names_are_the_cores_own(name):
    assert getattr(fulmen, name) is getattr(importlib.import_module("fulmen_core"), name)


def test_callbacks_and_loggers_are_the_plugins_own():
    import fulmen_callbacks
    import fulmen_interfaces
    import fulmen_logger_csv

    assert fulmen.callbacks.ModelCheckpoint is fulmen_callbacks.ModelCheckpoint
    assert fulmen.callbacks.Callback is fulmen.Callback is fulmen_interfaces.Callback
    assert fulmen.loggers.CSVLogger is fulmen_logger_csv.CSVLogger


def test_the_tuner_and_its_callbacks_are_the_tuners_own():
    import fulmen_tuner

    assert fulmen.tuner.Tuner is fulmen_tuner.Tuner
    assert fulmen.callbacks.LearningRateFinder is fulmen_tuner.LearningRateFinder
    assert {"BatchSizeFinder", "LearningRateFinder"} <= set(dir(fulmen.callbacks))


def test_accelerators_are_the_plugins_own():
    for family in ("cpu", "cuda", "mps"):
        plugin, name = importlib.import_module(f"fulmen_accelerator_{family}"), f"{family.upper()}Accelerator"
        assert getattr(fulmen.accelerators, name) is getattr(plugin, name)
    assert "find_usable_cuda_devices" in dir(fulmen.accelerators)


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("L.Trainer, L.LightningModule", ""),
        ("L.Trainer(accelerator='cpu', logger=False)", "fulmen_accelerator_cpu"),
        ("L.Trainer(logger=False)", "fulmen_accelerator_cpu fulmen_accelerator_cuda fulmen_accelerator_mps"),
    ],
)
def test_only_accelerators_that_are_asked_for_are_imported(code, imported):
    ours = "n.startswith('fulmen_accelerator') and '.' not in n"
    program = f"import sys, fulmen as L; {code}; print(*sorted(n for n in sys.modules if {ours}))"
    assert in_new_process(program) == imported


@pytest.mark.parametrize("module", ["fulmen", *[f"fulmen.{name}" for name in SUBMODULES]])
def test_every_listed_name_can_be_had(module):
    loaded = importlib.import_module(module)
    assert dir(loaded)
    for name in dir(loaded):
        assert getattr(loaded, name) is not None


def test_callbacks_are_listed_without_specs():
    assert {"Callback", "ModelCheckpoint"} <= set(dir(fulmen.callbacks))
    assert not [name for name in dir(fulmen.callbacks) if name.isupper()]


def test_star_imports_bring_what_is_listed():
    scope: dict[str, object] = {}
    exec("from fulmen.callbacks import *", scope)
    assert set(dir(fulmen.callbacks)) <= set(scope)


def test_submodules_need_no_import_of_their_own():
    assert in_new_process("import fulmen as L; print(L.callbacks.Callback.__name__)") == "Callback"


def test_the_version_is_that_of_the_distribution():
    assert fulmen.__version__ == version("fulmen")


def test_a_misspelt_name_is_told_with_the_right_one():
    with pytest.raises(AttributeError, match="Did you mean 'Trainer'"):
        _ = fulmen.Trainr
    with pytest.raises(ImportError, match="ModelCheckpont"):
        from fulmen.callbacks import ModelCheckpont  # noqa: F401


def test_a_name_of_a_distribution_that_is_missing_says_what_to_install():
    getattr_, dir_ = lazily(
        Offer("fulmen.loggers", {"StoneLogger": "fulmen_logger_stone", "Logger": "fulmen_interfaces"})
    )
    with pytest.raises(ImportError, match="pip install fulmen-logger-stone"):
        getattr_("StoneLogger")
    assert list(dir_()) == ["Logger"]


def test_a_package_that_is_missing_whole_says_what_to_install():
    getattr_, dir_ = lazily(Offer("fulmen.tools", packages=("fulmen_tools",)))
    with pytest.raises(ImportError, match=r"fulmen\.tools\.Hammer is part of fulmen-tools"):
        getattr_("Hammer")
    assert list(dir_()) == []


def test_a_distribution_that_is_there_but_broken_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "fulmen_half.py").write_text("import a_library_that_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    getattr_, _ = lazily(Offer("fulmen.tools", {"Half": "fulmen_half"}))
    with pytest.raises(ModuleNotFoundError, match="a_library_that_nobody_has"):
        getattr_("Half")


@pytest.mark.parametrize("module", ["fulmen", *[f"fulmen.{name}" for name in SUBMODULES]])
def test_type_checkers_see_the_names_that_there_are(module):
    loaded = importlib.import_module(module)
    block = next(node for node in ast.parse(inspect.getsource(loaded)).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    renamed = [node.targets[0].id for node in block.body if isinstance(node, ast.Assign)]
    seen = {*renamed, *(alias.asname for node in imports for alias in node.names if alias.asname)}
    offered = set(loaded._NAMES) | set(getattr(loaded, "_SUBMODULES", ()))
    assert seen == offered - {"__version__"}
