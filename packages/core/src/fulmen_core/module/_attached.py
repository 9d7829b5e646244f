"""What ties a module to the run that it takes part in."""

from __future__ import annotations

from typing import Any

from torch import nn

from fulmen_core.module._exports import is_scripting
from fulmen_core.module._link import RunLink
from fulmen_interfaces import ModuleError


class AttachedModule(nn.Module):
    """A module that may take part in a run."""

    _link: RunLink | None = None

    def attach(self, link: RunLink | None) -> None:
        """Take part in a run, or leave it, with all modules of this kind that are parts. Called by the engine."""
        for part in self.modules():
            if isinstance(part, AttachedModule):
                part.__dict__["_link"] = link

    def __getstate__(self) -> dict[str, Any]:
        # A copy or a pickle of the module must not drag the run along.
        state = dict(self.__dict__)
        state.pop("_link", None)
        state.pop("_toggled", None)
        return state

    def _attached(self, wanted: str) -> RunLink:
        if self._link is None:
            if is_scripting():
                raise AttributeError(wanted)
            raise ModuleError(
                f"`self.{wanted}` was used, but this {type(self).__name__} is not part of a run. "
                "It works inside the hooks and steps that `Trainer.fit`, `validate`, `test` or `predict` call."
            )
        return self._link
