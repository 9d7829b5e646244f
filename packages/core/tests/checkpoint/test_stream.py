"""What is streamed into a file is what is in it."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen_core.checkpoint._stream import StreamedFile

BUFFER = 2 * 2**20
EDGES = [BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 5 * BUFFER + 4097]
SIZES = st.one_of(st.integers(0, 5000), st.sampled_from(EDGES))


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(SIZES, max_size=6))
def test_the_file_holds_all_pieces_in_their_order_and_nothing_else(sizes: list[int]) -> None:
    """Whatever the pieces' sizes are, and wherever buffers end in them."""
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        with closing(StreamedFile(path)) as file:
            assert [file.write(piece) for piece in pieces] == sizes
            file.finish()
        assert path.read_bytes() == b"".join(pieces)


def test_a_file_that_is_there_is_not_written_to(tmp_path: Path) -> None:
    """Two writers of one name never mix."""
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        StreamedFile(path)
    assert path.read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="O_DIRECT and RLIMIT_FSIZE are Linux's")
def test_a_write_that_ends_off_a_block_goes_on_until_the_system_says_why(tmp_path: Path) -> None:
    """After a short write O_DIRECT refuses the rest as misplaced; what is told is the true cause."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with closing(StreamedFile(tmp_path / "file")) as file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, before[1]))
            file.write(b"x" * 20_000)
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                file.finish()
            assert file.error is not None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "file").read_bytes() == b"x" * 10_001
