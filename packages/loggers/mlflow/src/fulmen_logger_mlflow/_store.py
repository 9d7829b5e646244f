"""Where MLflow keeps its runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_DATABASE = "mlflow.db"
_ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Store:
    """A tracking server, or a database in a local folder."""

    uri: str
    folder: str | None
    """The local folder; None for what the user named by a URI."""
    artifacts: str | None
    """Where new experiments put their artifacts; None where the store knows."""

    @classmethod
    def named(cls, uri: str | None, folder: str | os.PathLike[str], artifacts: str | None) -> Store:
        """Return the store at a URI, else that of `MLFLOW_TRACKING_URI`, else a SQLite database in the folder."""
        uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri:
            return cls(uri, None, artifacts)
        path = Path(folder).expanduser().absolute()
        return cls(f"sqlite:///{path / _DATABASE}", os.fspath(folder), artifacts or (path / _ARTIFACTS).as_uri())

    def prepare(self) -> None:
        """Make the local folder."""
        if self.folder is not None:
            os.makedirs(os.path.expanduser(self.folder), exist_ok=True)
