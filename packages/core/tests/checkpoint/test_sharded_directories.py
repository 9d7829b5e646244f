"""Checkpoints that are directories: what lies in them, and how they come to be."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint
from sharded_cases import MODULES, Module, fit, moments
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from fulmen_core import TorchCheckpointIO, consolidate_checkpoint
from fulmen_core.consolidate import main
from fulmen_interfaces import CheckpointError
from fulmen_strategy_single_device import SingleDeviceStrategy

OF_PARTS = {
    "state_dict_type",
    "sharded_model_state",
    "load_sharded_model_state",
    "sharded_optimizer_state",
    "load_sharded_optimizer_state",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A checkpoint of three steps."""
    path = tmp_path / "some.ckpt"
    fit(Module(), steps=3, kind="sharded").save_checkpoint(path)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


# -- what lies in them -------------------------------------------------------------------------------------------------


def test_the_layout_is_torchs_own_beside_a_plain_file(directory: Path, tmp_path: Path) -> None:
    assert names_in(directory) == [".metadata", "__0_0.distcp", "meta.pt"]
    dcp_to_torch_save(directory, tmp_path / "by_torch.pt")
    tensors = torch.load(tmp_path / "by_torch.pt")
    assert set(tensors) == {"model", "optimizer_0"}
    module = Module()
    assert set(tensors["model"]) == set(module.state_dict())
    assert set(tensors["optimizer_0"]["state"]) == dict(module.named_parameters()).keys()
    assert set(tensors["optimizer_0"]["state"]["body.weight"]) == {"step", "exp_avg", "exp_avg_sq"}
    plain = torch.load(directory / "meta.pt", weights_only=True)
    assert (plain["epoch"], plain["global_step"]) == (1, 3)
    assert {"loops", "lr_schedulers", "hyper_parameters", "callbacks", "fulmen"} <= set(plain)
    assert not {"state_dict", "optimizer_states"} & set(plain)
    (group,) = plain["sharded"]["optimizers"][0]["param_groups"]
    assert group["params"] == [name for name, _ in module.named_parameters()]
    assert group["initial_lr"] == 0.01


def test_a_consolidated_file_is_the_file_that_would_have_been_saved(directory: Path, tmp_path: Path) -> None:
    whole, expected = tmp_path / "whole.ckpt", tmp_path / "expected.ckpt"
    fit(Module(), steps=3, kind="full").save_checkpoint(expected)
    assert main([str(directory), str(whole)]) == 0
    found, wanted = torch.load(whole), torch.load(expected)
    assert set(found) == set(wanted)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "hyper_parameters", "global_step"):
        torch.testing.assert_close(found[key], wanted[key], rtol=0, atol=0)
    assert list(found["optimizer_states"][0]["state"]) == list(wanted["optimizer_states"][0]["state"])


def test_weights_alone_are_consolidated_on_request(directory: Path, tmp_path: Path) -> None:
    assert main([str(directory), str(tmp_path / "weights.ckpt"), "--save-weights-only"]) == 0
    found = torch.load(tmp_path / "weights.ckpt")
    assert not {"optimizer_states", "lr_schedulers", "callbacks", "fulmen"} & set(found)
    assert Module.load_from_checkpoint(tmp_path / "weights.ckpt").hparams["width"] == 4


def test_what_cannot_be_consolidated_is_said(directory: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(CheckpointError, match="it is no directory"):
        consolidate_checkpoint(tmp_path / "absent", tmp_path / "x")
    with pytest.raises(CheckpointError, match="is a directory"):
        consolidate_checkpoint(directory, tmp_path)
    assert main([str(tmp_path / "absent"), str(tmp_path / "x")]) == 1
    assert "it is no directory" in capsys.readouterr().err


def test_without_states_of_training_weights_are_all_there_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    trained = Module()
    fit(trained, steps=3, kind="sharded").save_checkpoint(path, weights_only=True)
    assert torch.equal(Module.load_from_checkpoint(path).body.weight, trained.body.weight)
    with pytest.raises(CheckpointError, match="holds weights only"):
        fit(Module(), steps=4, load=path)


@pytest.mark.parametrize("kind", ["full", "sharded"])
@pytest.mark.parametrize("module", MODULES, ids=lambda one: one.__name__)
def test_every_kind_of_state_goes_on_as_if_nothing_had_been(tmp_path: Path, module: type[Module], kind: str) -> None:
    whole, begun, resumed = module(), module(), module()
    expected = moments(fit(whole, steps=6))
    fit(begun, steps=3, kind="sharded", save=tmp_path / "some.ckpt")
    found = moments(fit(resumed, steps=6, kind=kind, load=tmp_path / "some.ckpt"))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("consolidated", [False, True])
def test_gradients_of_an_open_window_are_in_it(tmp_path: Path, consolidated: bool) -> None:
    whole, resumed, path = Module(), Module(), tmp_path / "some.ckpt"
    fit(whole, steps=6, accumulate_grad_batches=4)
    fit(Module(), steps=2, kind="sharded", save=path, accumulate_grad_batches=4)
    dcp_to_torch_save(path, tmp_path / "by_torch.pt")
    assert set(torch.load(tmp_path / "by_torch.pt")["gradients_0"]) == dict(whole.named_parameters()).keys()
    if consolidated:
        consolidate_checkpoint(path, tmp_path / "whole.ckpt")
        path = tmp_path / "whole.ckpt"
    fit(resumed, steps=6, load=path, accumulate_grad_batches=4)
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_a_strategy_that_knows_only_whole_states_reads_directories_too(tmp_path: Path) -> None:
    class Whole:
        """A prepared model without parts."""

        def __init__(self, prepared: Any) -> None:
            self.prepared = prepared

        def __getattr__(self, name: str) -> Any:
            if name in OF_PARTS:
                raise AttributeError(name)
            return getattr(self.prepared, name)

    class Strategy(SingleDeviceStrategy):  # type: ignore[misc]  # final for users
        def prepare(self, request: Any) -> Any:
            return Whole(super().prepare(request))

    whole, resumed = Module(), Module()
    expected = moments(fit(whole, steps=6))
    fit(Module(), steps=3, kind="sharded", save=tmp_path / "some.ckpt")
    found = moments(fit(resumed, steps=6, load=tmp_path / "some.ckpt", strategy=Strategy()))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_weights_in_a_directory_of_lightnings_are_read(tmp_path: Path) -> None:
    """As its FSDP strategy writes them: the same files, but all of an optimizer's state among the tensors."""
    module = Module()
    state = {"model": module.state_dict(), "optimizer_0": {"param_groups": [{"lr": 0.1, "params": ["body.weight"]}]}}
    torch.distributed.checkpoint.save(state, checkpoint_id=tmp_path / "theirs")
    torch.save({"epoch": 1, "pytorch-lightning_version": "2.6.0"}, tmp_path / "theirs" / "meta.pt")
    assert torch.equal(Module.load_from_checkpoint(tmp_path / "theirs").body.weight, module.body.weight)


def test_hooks_see_and_change_states_of_a_directory(tmp_path: Path) -> None:
    class Renamed(Module):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["state_dict"]["old.weight"] = checkpoint["state_dict"].pop("body.weight")

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            assert len(checkpoint["state_dict"]) == len(self.state_dict())
            checkpoint["state_dict"]["body.weight"] = checkpoint["state_dict"].pop("old.weight")

    resumed = Renamed()
    fit(Renamed(), steps=3, kind="sharded", save=tmp_path / "some.ckpt")
    weight = TorchCheckpointIO().load(str(tmp_path / "some.ckpt"))["state_dict"]["old.weight"]
    assert torch.equal(Renamed.load_from_checkpoint(tmp_path / "some.ckpt").body.weight, weight)
    fit(resumed, steps=3, load=tmp_path / "some.ckpt")
    assert torch.equal(resumed.body.weight, weight)


def test_places_with_a_scheme_hold_directories_too() -> None:
    fsspec = pytest.importorskip("fsspec")
    path = "memory://bucket/run/some.ckpt"
    trained, resumed = Module(), Module()
    fit(trained, steps=2, kind="sharded").save_checkpoint(path)
    trainer = fit(trained, steps=3, kind="sharded")
    trainer.save_checkpoint(path)
    assert fsspec.filesystem("memory").ls("/bucket/run", detail=False) == ["/bucket/run/some.ckpt"]
    fit(resumed, steps=3, load=path)
    assert torch.equal(resumed.body.weight, trained.body.weight)
    trainer.remove_checkpoint(path)
    assert not fsspec.filesystem("memory").exists("/bucket/run/some.ckpt")


# -- writing -----------------------------------------------------------------------------------------------------------


def test_later_writing_replaces_directories_and_files(directory: Path) -> None:
    fit(Module(), steps=4, kind="sharded").save_checkpoint(directory)
    assert torch.load(directory / "meta.pt")["global_step"] == 4
    fit(Module(), steps=5, kind="full").save_checkpoint(directory)
    assert torch.load(directory)["global_step"] == 5
    fit(Module(), steps=2, kind="sharded").save_checkpoint(directory)
    assert torch.load(directory / "meta.pt")["global_step"] == 2
    assert names_in(directory.parent) == [directory.name]


def test_a_link_is_replaced_and_what_it_points_to_stays(directory: Path) -> None:
    link = directory.with_name("last.ckpt")
    link.symlink_to(directory.name)
    trainer = fit(Module(), steps=4, kind="sharded")
    trainer.save_checkpoint(link)
    assert torch.load(directory / "meta.pt")["global_step"] == 3
    assert torch.load(link / "meta.pt")["global_step"] == 4
    trainer.remove_checkpoint(directory)
    assert names_in(directory.parent) == ["last.ckpt"]


@pytest.mark.parametrize("kind", ["full", "sharded"])
def test_other_directories_are_never_replaced(tmp_path: Path, kind: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(CheckpointError, match=r"it is a directory, and no checkpoint; it holds thesis\.txt"):
        fit(Module(), steps=1, kind=kind).save_checkpoint(tmp_path / "mine")
    assert names_in(tmp_path) == ["mine"]


def test_what_cannot_be_written_leaves_what_was_there(directory: Path) -> None:
    class Unwritable(Module):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = lambda: None

    with pytest.raises(CheckpointError, match=r"some\.ckpt.* cannot be written: 'mine' holds") as caught:
        fit(Unwritable(), steps=4, kind="sharded").save_checkpoint(directory)
    assert caught.value.path == str(directory)
    assert torch.load(directory / "meta.pt")["global_step"] == 3
    assert names_in(directory.parent) == [directory.name]


@pytest.mark.skipif(sys.platform != "linux", reason="uses what Linux offers")
def test_a_full_disk_is_told_and_the_old_one_stays(directory: Path) -> None:
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from sharded_cases import Module, fit
        from fulmen_interfaces import CheckpointError

        trainer = fit(Module(width=2000), steps=1, kind="sharded")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            trainer.save_checkpoint(sys.argv[1])
        except CheckpointError as error:
            print(error)
        """
    )
    command = [sys.executable, "-c", program, str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert f"The checkpoint {directory} cannot be written" in done.stdout, done.stderr
    assert torch.load(directory / "meta.pt")["global_step"] == 3
    assert names_in(directory.parent) == [directory.name]


def test_a_kill_while_writing_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """A program writes the same directory over and over, all of its tensors filled with the number of the turn."""
    path = tmp_path / "some.ckpt"
    program = Path(__file__).parent / "saving_program.py"
    rng, newest = random.Random(3), 0.0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, program, path], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "saved"
            time.sleep(rng.random() * 0.2)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
        values = {float(one) for one in TorchCheckpointIO().load(str(path))["state_dict"]["body.weight"].flatten()}
        assert len(values) == 1
        assert min(values) > newest or newest == 0.0
        newest = min(values)
    fit(Module(), steps=1, kind="sharded").save_checkpoint(path)
    assert names_in(tmp_path) == ["some.ckpt"], "what killed programs left behind is gone"
