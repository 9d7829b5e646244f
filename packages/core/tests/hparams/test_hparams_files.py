from pathlib import Path

import pytest

from fulmen_core.hparams import (
    load_hparams,
    load_hparams_from_tags_csv,
    load_hparams_from_yaml,
    save_hparams_to_tags_csv,
    save_hparams_to_yaml,
)
from fulmen_interfaces import ConfigurationError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_yaml_is_read(tmp_path):
    pytest.importorskip("yaml")
    file = write(tmp_path / "h.yaml", "lr: 0.1\nlayers: [1, 2]\noptim: {name: adam}\n")
    assert load_hparams(file) == {"lr": 0.1, "layers": [1, 2], "optim": {"name": "adam"}}
    assert load_hparams_from_yaml(write(tmp_path / "empty.yml", "# nothing\n")) == {}


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "a: [1", "- 1\n- 2\n"])
def test_yaml_that_is_no_mapping_of_plain_values_is_refused(tmp_path, text):
    pytest.importorskip("yaml")
    with pytest.raises(ConfigurationError, match=r"h\.yaml"):
        load_hparams(write(tmp_path / "h.yaml", text))


def test_csv_is_read_as_literals_or_text(tmp_path):
    file = write(tmp_path / "h.csv", 'key,value\nlr,0.1\nlayers,"[1, 2]"\nname,plain text\nflag,True\nnone,\n')
    assert load_hparams(str(file)) == {"lr": 0.1, "layers": [1, 2], "name": "plain text", "flag": True, "none": ""}


def test_csv_with_other_columns_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="key,value"):
        load_hparams_from_tags_csv(write(tmp_path / "h.csv", "a,b\n1,2\n"))


def test_absent_files_and_other_formats_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_hparams(tmp_path / "absent.csv")
    with pytest.raises(ConfigurationError, match=r"\.yaml, \.yml or \.csv"):
        load_hparams(write(tmp_path / "h.json", "{}"))


def test_what_is_saved_can_be_read(tmp_path):
    values = {"lr": 0.1, "root": Path("a"), "sizes": (1, 2), "sub": {"a": Path("b")}, "fn": len}
    save_hparams_to_tags_csv(tmp_path / "h.csv", values)
    assert load_hparams(tmp_path / "h.csv")["sizes"] == (1, 2)
    assert load_hparams(tmp_path / "h.csv")["root"] == "a"
    yaml = pytest.importorskip("yaml")
    save_hparams_to_yaml(tmp_path / "h.yaml", values)
    read = yaml.safe_load((tmp_path / "h.yaml").read_text())
    assert read == {"lr": 0.1, "root": "a", "sizes": [1, 2], "sub": {"a": "b"}, "fn": str(len)}
