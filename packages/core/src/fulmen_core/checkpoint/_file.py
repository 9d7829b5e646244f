"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fulmen_core.checkpoint._replace import claimed, sync_directory, take_place
from fulmen_core.checkpoint._stream import StreamedFile


@contextmanager
def whole_file(target: Path) -> Iterator[StreamedFile]:
    """Return a file that takes the target's place when the block ends, and vanishes where it fails.

    When it has ended, the content and the name are on disk: they survive a loss of power. What earlier writers of the
    same target left behind when they were killed is removed.
    """
    with claimed(target) as temporary:
        with closing(StreamedFile(temporary)) as file:
            yield file
            file.finish()
        take_place(temporary, target)
    sync_directory(target.parent)
