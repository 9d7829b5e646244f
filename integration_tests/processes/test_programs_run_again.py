"""However a program was started, the further ranks of "ddp" run the same one."""

from __future__ import annotations

import socket
import subprocess
import zipfile
from pathlib import Path

from process_tools import environment, printed_by, start

TWO_RANKS = """
import os
import sys
import torch
from fulmen_core import Fabric

def ranks(fabric):
    return fabric.all_gather(torch.tensor(fabric.global_rank)).tolist()

def main(*strategies):
    for strategy in strategies:
        fabric = Fabric(accelerator="cpu", devices=2, strategy=strategy)
        words = ["ranks", *map(str, fabric.launch(ranks)), *sys.argv[1:]]
        os.write(1, (" ".join(words) + chr(10)).encode())  # at once, for the ranks share the stream
"""
RUN = "\nif __name__ == '__main__':\n    main('ddp')\n"


def lines_of(program: subprocess.Popen[str]) -> list[str]:
    """Return what all ranks printed."""
    output, errors = printed_by(program)
    assert program.returncode == 0, errors
    return sorted(line for line in output.splitlines() if line)


def test_a_script_that_changes_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TWO_RANKS + "\nos.chdir('/')" + RUN)
    assert lines_of(start("script.py", "word", cwd=tmp_path)) == ["ranks 0 1 word"] * 2


def test_a_script_behind_which_a_prompt_comes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TWO_RANKS + RUN)
    (tmp_path / "typed.py").write_text("print('typed', ranks.__name__)")
    with (tmp_path / "typed.py").open() as typed:
        program = start("-uqi", "script.py", cwd=tmp_path, stdin=typed)
        assert lines_of(program) == ["ranks 0 1"] * 2 + ["typed ranks"]  # once: the further rank has no prompt


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "helper.py").write_text(TWO_RANKS)
    (tmp_path / "folder" / "__main__.py").write_text("from helper import main\n" + RUN)
    assert lines_of(start("folder", "word", cwd=tmp_path)) == ["ranks 0 1 word"] * 2


def test_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", TWO_RANKS + RUN)
    assert lines_of(start("program.zip", cwd=tmp_path)) == ["ranks 0 1"] * 2


def test_once_the_program_runs_in_several_processes_they_do_what_others_would_be_started_for(tmp_path: Path) -> None:
    run = RUN.replace("main('ddp')", "main('ddp', 'ddp_spawn', 'ddp_fork')")
    (tmp_path / "script.py").write_text(TWO_RANKS + run)
    assert lines_of(start("script.py", cwd=tmp_path)) == ["ranks 0 1"] * 6


def test_a_port_that_another_program_has_is_told(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TWO_RANKS.replace("devices=2", "devices=1, num_nodes=2") + RUN)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        variables = environment(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, NODE_RANK=0)
        program = start("script.py", cwd=tmp_path, env=variables)
        _, errors = printed_by(program)
    assert program.returncode == 1
    assert f"Rank 0 cannot listen at 127.0.0.1:{port}" in errors
    assert "Set MASTER_PORT to another port" in errors


def test_a_result_that_cannot_come_home_is_told(tmp_path: Path) -> None:
    code = "from fulmen_core import Fabric\nprint(Fabric(accelerator='cpu', devices=2, strategy='ddp_fork')"
    (tmp_path / "script.py").write_text(code + ".launch(lambda fabric: lambda: 1))\n")
    program = start("script.py", cwd=tmp_path)
    _, errors = printed_by(program)
    assert program.returncode == 1
    last = errors.rstrip().splitlines()[-1]
    assert last.startswith("fulmen_interfaces._errors.FulmenError: What the first rank returns")
