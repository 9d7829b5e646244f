"""Hyper-parameters in files that people write: YAML and CSV."""

from __future__ import annotations

import ast
import csv
import importlib
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import Any

from fulmen_core.hparams._encode import encode_hparams
from fulmen_interfaces import ConfigurationError, Problem

FilePath = str | PathLike[str]
"""A path as text or as an object."""


def load_hparams(path: FilePath) -> dict[str, Any]:
    """Read hyper-parameters from a file whose name ends in `.yaml`, `.yml` or `.csv`."""
    suffix = Path(path).suffix.lower()
    if suffix in (".yaml", ".yml"):
        return load_hparams_from_yaml(path)
    if suffix == ".csv":
        return load_hparams_from_tags_csv(path)
    raise _refused(path, "the name tells no format that is known.", "Give a file that ends in .yaml, .yml or .csv.")


def load_hparams_from_yaml(config_yaml: FilePath) -> dict[str, Any]:
    """Read hyper-parameters from a YAML file of plain values."""
    yaml = _yaml()
    try:
        read = yaml.safe_load(_text(config_yaml))
    except yaml.YAMLError as error:
        raise _refused(config_yaml, f"it is no YAML of plain values: {error}.", "Correct it.") from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise _refused(config_yaml, f"it holds a {type(read).__name__}.", "Write `name: value` on each line.")
    return read


def load_hparams_from_tags_csv(tags_csv: FilePath) -> dict[str, Any]:
    """Read hyper-parameters from a CSV file with the columns `key` and `value`; values are Python literals or text."""
    rows = csv.DictReader(_text(tags_csv).splitlines())
    if not {"key", "value"} <= set(rows.fieldnames or ()):
        raise _refused(tags_csv, f"its columns are {rows.fieldnames}.", "Begin it with the line `key,value`.")
    return {row["key"]: _literal(row["value"]) for row in rows}


def save_hparams_to_yaml(config_yaml: FilePath, hparams: Mapping[str, Any]) -> None:
    """Write hyper-parameters as YAML. What is no plain value is written as text."""
    encoded = encode_hparams(hparams)
    values = {name: _for_yaml(encoded.values.get(name, hparams[name])) for name in hparams}
    Path(config_yaml).write_text(_yaml().safe_dump(values, sort_keys=False), encoding="utf-8")


def save_hparams_to_tags_csv(tags_csv: FilePath, hparams: Mapping[str, Any]) -> None:
    """Write hyper-parameters as CSV with the columns `key` and `value`."""
    with Path(tags_csv).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "value"])
        writer.writerows(hparams.items())


def _for_yaml(value: Any) -> Any:
    if type(value) is dict:
        return {key: _for_yaml(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_for_yaml(item) for item in value]
    return value if type(value) in (type(None), bool, int, float, str) else str(value)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _text(path: FilePath) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, f"it cannot be read: {error}.", "Give the path of a readable file.") from error


def _yaml() -> ModuleType:
    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        message = "Hyper-parameters in YAML need PyYAML, which is not installed. Run `pip install 'fulmen-core[yaml]'`."
        raise ImportError(message, name="yaml") from error


def _refused(path: FilePath, reason: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem("hparams_file", fspath(path), reason, remedy)])
