"""`python -m fulmen_core.consolidate DIRECTORY FILE`: one plain file out of a sharded checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fulmen_core.checkpoint import consolidate_checkpoint
from fulmen_interfaces import CheckpointError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fulmen_core.consolidate",
        description="Write a checkpoint that several processes wrote as a directory anew, as one plain file.",
    )
    parser.add_argument("directory", help="the checkpoint: a directory")
    parser.add_argument("file", help="what to write")
    parser.add_argument("--save-weights-only", action="store_true", help="leave out what only training needs")
    parser.add_argument(
        "--unsafe", action="store_true", help="also read objects that are no plain values; only from who you trust"
    )
    given = parser.parse_args(arguments)
    try:
        consolidate_checkpoint(
            given.directory, given.file, save_weights_only=given.save_weights_only, weights_only=not given.unsafe
        )
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
