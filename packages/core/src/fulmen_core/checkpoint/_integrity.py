"""Damage in files that `torch.save` wrote; `torch.load` itself would return wrong numbers."""

from __future__ import annotations

import zipfile
import zlib
from typing import IO

_CHUNK_BYTES = 2**20


def damaged_record(path: str | IO[bytes]) -> str | None:
    """Return the name of a record whose checksum disagrees with its content; None where all is well or unknown.

    Unknown are files of the old format, which have no checksums, and those that were written without: there, every
    single one disagrees.
    """
    if not zipfile.is_zipfile(path):
        return None
    damaged, sound = None, False
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if _is_sound(archive, record):
                sound = True
            else:
                damaged = record.filename
            if sound and damaged is not None:
                return damaged
    return None


def _is_sound(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(record) as content:
            while content.read(_CHUNK_BYTES):
                pass
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        return False
    return True
