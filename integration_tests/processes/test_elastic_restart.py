"""Two machines under torchrun, one of which is lost: training goes on from the last checkpoint.

A machine is a network namespace with an agent in it where the system allows that, else an agent alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from process_tools import FOLDER, end, environment, free_port, start, wait_until

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="processes are killed by signals"),
    pytest.mark.timeout(900),
]


@dataclass(frozen=True)
class Machines:
    """Two machines that reach each other."""

    separate: bool
    names: tuple[str, str] = ("fulmen-test-0", "fulmen-test-1")
    addresses: tuple[str, str] = ("10.231.77.1", "10.231.77.2")

    def agent(self, number: int, port: int, *words: object) -> subprocess.Popen[str]:
        """Start torchrun on one of them."""
        host = self.addresses[0] if self.separate else "127.0.0.1"
        place = ["ip", "netns", "exec", self.names[number]] if self.separate else []
        # An agent that comes later would wait for an address that torchrun tells in its first round only.
        network = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        if self.separate:
            network["GLOO_SOCKET_IFNAME"] = f"fulmen{number}"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint={host}:{port}", "--rdzv-id=job", "--max-restarts=3"]
        here = ["--local-addr", self.addresses[number] if self.separate else "127.0.0.1"]
        is_host = [f"--rdzv-conf=is_host={int(number == 0)},join_timeout=400"]
        command = [*place, *torchrun, *rendezvous, *here, *is_host, "elastic_program.py"]
        log = Path(str(words[0])) / f"agent{number}.log"
        command += map(str, words)
        with log.open("a") as out:
            options = {"stdout": out, "stderr": out, "env": environment(**network), "cwd": FOLDER}
            return subprocess.Popen(command, text=True, start_new_session=True, **options)


def ip(*words: str) -> bool:
    """Run `ip`; return whether it worked."""
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def machines() -> Iterator[Machines]:
    both = Machines(separate=True)
    try:
        yield both if connected(both) else Machines(separate=False)
    finally:
        if shutil.which("ip"):
            for name in both.names:
                ip("netns", "del", name)


def connected(machines: Machines) -> bool:
    """Make two network namespaces with a cable between them; return False where that is not allowed."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    made = all(ip("netns", "add", name) for name in machines.names)
    made = made and ip("link", "add", "fulmen0", "type", "veth", "peer", "name", "fulmen1")
    for number, (name, address) in enumerate(zip(machines.names, machines.addresses, strict=True)):
        device = f"fulmen{number}"
        made = made and ip("link", "set", device, "netns", name)
        made = made and ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
        made = made and ip("-n", name, "link", "set", device, "up") and ip("-n", name, "link", "set", "lo", "up")
    return made


def outcomes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def steps(folder: Path) -> int:
    """Return at which step rank one is."""
    file = folder / "rank1.step"
    return int((file.read_text() if file.exists() else "").partition(" ")[0] or 0)


def logs(folder: Path) -> str:
    return "\n".join(file.read_text() for file in sorted(folder.glob("agent*.log")))


def test_training_survives_the_loss_of_a_process(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    running = []
    try:
        for folder, pause in ((whole, 0.0), (cut, 0.05)):
            folder.mkdir()
            with (folder / "agent.log").open("w") as log:
                running.append(start(*torchrun, "elastic_program.py", folder, pause, 1, stdout=log, stderr=log))
            if folder is cut:
                assert wait_until(lambda: steps(cut) >= 6), logs(cut)
                os.kill(int((cut / "rank1.step").read_text().split()[1]), signal.SIGKILL)
            assert running[-1].wait(120) == 0, logs(folder)
    finally:
        end(running)
    check_the_same(outcomes(whole), outcomes(cut))


@pytest.mark.long
def test_training_survives_the_loss_of_a_machine(machines: Machines, tmp_path: Path) -> None:
    print("separate network namespaces" if machines.separate else "one network: namespaces are not allowed here")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    running: list[subprocess.Popen[str]] = []
    try:
        port = free_port(29500, 30500)
        running += [machines.agent(number, port, whole, 0.0, 2) for number in (0, 1)]
        assert [one.wait(120) for one in running] == [0, 0], logs(whole)

        port = free_port(port + 1, 31500)
        first, lost = machines.agent(0, port, cut, 0.05, 2), machines.agent(1, port, cut, 0.05, 2)
        running += [first, lost]
        assert wait_until(lambda: steps(cut) >= 6), logs(cut)
        end([lost])  # the agent; its process notices and ends
        running.append(machines.agent(1, port, cut, 0.05, 2))
        assert wait_until(lambda: first.poll() is not None, 500), logs(cut)
        assert [first.wait(), running[-1].wait(120)] == [0, 0], logs(cut)
    finally:
        end(running)
    check_the_same(outcomes(whole), outcomes(cut))


def check_the_same(whole: list[dict[str, Any]], cut: list[dict[str, Any]]) -> None:
    for before, after in zip(whole, cut, strict=True):
        assert after["weights"] == before["weights"]
        assert (after["steps"], before["trained"]) == (40, 40)
        assert 1 <= after["trained"] <= 35  # the rest, from the last checkpoint on
