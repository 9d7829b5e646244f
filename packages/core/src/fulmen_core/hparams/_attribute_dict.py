"""A dict whose items are attributes, too."""

from __future__ import annotations

from typing import Any


class AttributeDict(dict[str, Any]):
    """A dict whose items can also be read, set and deleted as attributes: `hparams.lr` is `hparams["lr"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(_absent(self, name), name=name, obj=self) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(_absent(self, name), name=name, obj=self) from None

    def __repr__(self) -> str:
        width = max((len(str(name)) for name in self), default=0) + len('"": ')
        return "\n".join(f'"{name}": '.ljust(width) + str(self[name]) for name in sorted(self, key=str))


def _absent(items: dict[str, Any], name: str) -> str:
    present = ", ".join(map(str, items)) or "nothing"
    return f"There is no {name!r} here; it holds {present}."
