import errno
import http.server
import os
import struct
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import pytest
import torch

from fulmen_core.checkpoint import TorchCheckpointIO
from fulmen_core.checkpoint._io import present_devices
from fulmen_interfaces import CheckpointError, CheckpointIO

CHECKPOINT = {"epoch": 3, "state_dict": {"w": torch.arange(1000.0)}}
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="uses what Linux offers")


@pytest.fixture
def io():
    return TorchCheckpointIO()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "er" / "last.ckpt"


def names_in(directory):
    return sorted(one.name for one in directory.iterdir())


def test_it_is_a_checkpoint_io(io):
    assert isinstance(io, CheckpointIO)


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_torch_reads_what_it_writes_and_the_other_way_round(io, file, scheme):
    io.save(CHECKPOINT, f"{scheme}{file}")
    assert torch.load(file)["state_dict"]["w"].equal(CHECKPOINT["state_dict"]["w"])
    torch.save(CHECKPOINT, file)
    assert io.load(f"{scheme}{file}")["epoch"] == 3
    assert names_in(file.parent) == ["last.ckpt"]


def test_the_bytes_depend_on_the_content_only(io, file):
    io.save(CHECKPOINT, str(file))
    first = file.read_bytes()
    io.save(CHECKPOINT, str(file.with_name("other.ckpt")))
    assert file.with_name("other.ckpt").read_bytes() == first


def test_a_file_has_the_usual_permissions(io, file):
    file.parent.mkdir(parents=True)
    plain = file.with_name("plain")
    plain.touch()
    io.save(CHECKPOINT, str(file))
    assert file.stat().st_mode == plain.stat().st_mode


def test_a_link_is_replaced_and_what_it_points_to_stays(io, tmp_path):
    best = tmp_path / "best.ckpt"
    io.save({"epoch": 1}, str(best))
    last = tmp_path / "last.ckpt"
    last.symlink_to(best)
    io.save({"epoch": 2}, str(last))
    assert io.load(str(best))["epoch"] == 1
    assert io.load(str(last))["epoch"] == 2


def test_leftovers_of_dead_writers_of_the_same_target_are_removed(io, file):
    file.parent.mkdir(parents=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=60)
    dead = file.with_name(f".last.ckpt.{ended.pid}.0123abcd.tmp")
    own = file.with_name(f".last.ckpt.{os.getpid()}.0123abcd.tmp")
    alive = file.with_name(f".last.ckpt.{os.getppid()}.0123abcd.tmp")
    others = file.with_name(f".best.ckpt.{ended.pid}.0123abcd.tmp")
    for leftover in (dead, own, alive, others):
        leftover.touch()
    io.save(CHECKPOINT, str(file))
    assert names_in(file.parent) == sorted([alive.name, others.name, "last.ckpt"])


def test_two_threads_may_write_the_same_target(io, file):
    threads = [threading.Thread(target=io.save, args=({"epoch": epoch}, str(file))) for epoch in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert io.load(str(file))["epoch"] in range(8)
    assert names_in(file.parent) == ["last.ckpt"]


# -- failures of writing -----------------------------------------------------------------------------------------------


def test_what_cannot_be_pickled_is_named_and_the_old_file_stays(io, file):
    io.save(CHECKPOINT, str(file))
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be written: 'callbacks' holds .*lambda") as caught:
        io.save({"epoch": 4, "callbacks": {"mine": lambda: None}}, str(file))
    assert caught.value.path == str(file)
    assert io.load(str(file))["epoch"] == 3
    assert names_in(file.parent) == ["last.ckpt"]


def test_an_interrupt_passes_through_and_leaves_nothing(io, file):
    class Interrupting:
        def __reduce__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        io.save({"it": Interrupting()}, str(file))
    assert names_in(file.parent) == []


@LINUX_ONLY
def test_a_full_disk_is_told_and_the_old_file_stays(io, file):
    io.save(CHECKPOINT, str(file))
    program = textwrap.dedent(
        """
        import resource, signal, sys, torch
        from fulmen_core.checkpoint import TorchCheckpointIO
        from fulmen_interfaces import CheckpointError

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            TorchCheckpointIO().save({"state_dict": {"w": torch.zeros(1_000_000)}}, sys.argv[1])
        except CheckpointError as error:
            print(error)
        """
    )
    command = [sys.executable, "-c", program, str(file)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert os.strerror(errno.EFBIG) in told
    assert str(file) in told
    assert io.load(str(file))["epoch"] == 3
    assert names_in(file.parent) == ["last.ckpt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_directory_without_permission_is_told(io, tmp_path):
    tmp_path.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(CheckpointError, match=rf"cannot be written: {os.strerror(errno.EACCES)}"):
            io.save(CHECKPOINT, str(tmp_path / "last.ckpt"))
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o755)


def test_a_target_that_is_a_directory_is_told(io, tmp_path):
    with pytest.raises(CheckpointError, match="it is a directory"):
        io.save(CHECKPOINT, str(tmp_path))
    assert [one for one in tmp_path.parent.iterdir() if one.suffix == ".tmp"] == []


def test_storage_options_make_no_sense_for_local_files(io, file):
    with pytest.raises(CheckpointError, match="a local file takes none"):
        io.save(CHECKPOINT, str(file), storage_options={"key": "secret"})


@pytest.mark.skipif(os.name != "posix", reason="forks and kills")
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    program = textwrap.dedent(
        """
        import os, random, signal, sys, time
        from pathlib import Path
        import torch
        from fulmen_core.checkpoint import TorchCheckpointIO

        torch.set_num_threads(1)
        io, target = TorchCheckpointIO(), sys.argv[1]
        io.save({"number": 0, "w": torch.zeros(2**20)}, target)
        random.seed(0)
        interrupted, newest = 0, 0
        for _ in range(10):
            child = os.fork()
            if child == 0:
                for number in range(newest + 1, newest + 1000):
                    io.save({"number": number, "w": torch.full((2**20,), float(number))}, target)
                os._exit(1)
            time.sleep(random.uniform(0.005, 0.1))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            interrupted += len(list(Path(target).parent.glob(".*.tmp")))
            read = io.load(target)
            assert (read["w"] == read["number"]).all()
            assert read["number"] >= newest
            newest = read["number"]
            io.save(read, target)
            assert os.listdir(Path(target).parent) == ["last.ckpt"]
        assert newest > 0
        print(interrupted)
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path / "last.ckpt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0, "no kill hit a write: the test proved nothing"


# -- failures of reading -----------------------------------------------------------------------------------------------


def test_an_absent_file_is_told_with_what_is_there(io, file):
    io.save(CHECKPOINT, str(file))
    with pytest.raises(CheckpointError, match=r"first\.ckpt cannot be read: it is not there\..*holds last\.ckpt\."):
        io.load(str(file.with_name("first.ckpt")))
    with pytest.raises(CheckpointError, match=r"not there\. Check the path"):
        io.load(str(file.parent / "no" / "a.ckpt"))


def test_a_file_that_is_cut_off_empty_or_something_else_is_told(io, file):
    io.save(CHECKPOINT, str(file))
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"hello world", b"\x80\x02]q\x00."):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"(damaged or|which is) no checkpoint"):
            io.load(str(file))


def test_a_single_flipped_bit_is_detected(io, file):
    io.save(CHECKPOINT, str(file))
    content = bytearray(file.read_bytes())
    place = content.find(struct.pack("<2f", 500, 501))
    assert place > 0
    content[place] ^= 1
    file.write_bytes(content)
    assert not torch.load(file)["state_dict"]["w"].equal(CHECKPOINT["state_dict"]["w"])
    with pytest.raises(CheckpointError, match=r"record archive/data/0 is damaged"):
        io.load(str(file))
    assert TorchCheckpointIO(verify=False).load(str(file))["epoch"] == 3


def test_files_without_checksums_load(io, file):
    file.parent.mkdir(parents=True)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CHECKPOINT, file)
    finally:
        torch.serialization.set_crc32_options(True)
    assert zipfile.ZipFile(file).testzip() is not None
    assert io.load(str(file))["epoch"] == 3
    torch.save(CHECKPOINT, file, _use_new_zipfile_serialization=False)
    assert io.load(str(file))["epoch"] == 3


def test_what_is_not_safe_is_refused_with_the_ways_out(io, file):
    io.save({"root": Path("a")}, str(file))
    with pytest.raises(CheckpointError, match=r"holds pathlib\..*weights_only=False.*add_safe_globals"):
        io.load(str(file))
    assert io.load(str(file), weights_only=False) == {"root": Path("a")}


def test_a_class_that_is_gone_is_told(io, file, tmp_path, monkeypatch):
    (tmp_path / "vanishing.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    import vanishing

    io.save({"it": vanishing.Thing()}, str(file))
    del sys.modules["vanishing"]
    (tmp_path / "vanishing.py").write_text("")
    with pytest.raises(CheckpointError, match="needs a class that is not here"):
        io.load(str(file), weights_only=False)


def test_a_list_is_no_checkpoint(io, file):
    file.parent.mkdir(parents=True)
    torch.save([1], file)
    with pytest.raises(CheckpointError, match="holds a list"):
        io.load(str(file))


def test_devices_that_are_absent_become_the_cpu():
    storage = torch.zeros(1).untyped_storage()
    assert present_devices(storage, "cuda:99").device.type == "cpu"


# -- elsewhere ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_a_path_with_a_scheme_goes_through_fsspec(io, memory):
    io.save(CHECKPOINT, "memory://bucket/run/a.ckpt")
    assert memory.find("/") == ["/bucket/run/a.ckpt"]
    assert io.load("memory://bucket/run/a.ckpt")["state_dict"]["w"].equal(CHECKPOINT["state_dict"]["w"])


def test_a_failed_write_elsewhere_leaves_the_old_file(io, memory):
    io.save(CHECKPOINT, "memory://bucket/a.ckpt")
    with pytest.raises(CheckpointError, match="'it' holds what cannot be pickled"):
        io.save({"it": lambda: None}, "memory://bucket/a.ckpt")
    assert memory.find("/") == ["/bucket/a.ckpt"]
    assert io.load("memory://bucket/a.ckpt")["epoch"] == 3


def test_absent_files_and_unknown_schemes_are_told(io, memory):
    with pytest.raises(CheckpointError, match=r"not there\. Check the path\."):
        io.load("memory://bucket/b.ckpt")
    with pytest.raises(CheckpointError, match="nowhere"):
        io.save(CHECKPOINT, "nowhere://bucket/b.ckpt")


def test_a_web_address_can_be_read(io, file, tmp_path, monkeypatch):
    io.save(CHECKPOINT, str(file))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(file.parent))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert io.load(f"{address}/last.ckpt")["epoch"] == 3
        with pytest.raises(CheckpointError, match="404"):
            io.load(f"{address}/absent.ckpt")
        server.shutdown()


# -- removing ----------------------------------------------------------------------------------------------------------


def test_files_directories_and_what_is_gone_are_removed(io, tmp_path):
    io.save(CHECKPOINT, str(tmp_path / "a.ckpt"))
    io.save(CHECKPOINT, str(tmp_path / "sharded" / "part"))
    for name in ("a.ckpt", "sharded", "never.was"):
        io.remove(str(tmp_path / name))
    assert names_in(tmp_path) == []


def test_removing_a_link_to_a_directory_leaves_the_directory(io, tmp_path):
    io.save(CHECKPOINT, str(tmp_path / "sharded" / "part"))
    (tmp_path / "last").symlink_to(tmp_path / "sharded")
    io.remove(str(tmp_path / "last"))
    assert names_in(tmp_path) == ["sharded"]
    assert names_in(tmp_path / "sharded") == ["part"]


def test_files_elsewhere_are_removed(io, memory):
    io.save(CHECKPOINT, "memory://bucket/a.ckpt")
    io.remove("memory://bucket/a.ckpt")
    io.remove("memory://bucket/a.ckpt")
    assert memory.find("/") == []
