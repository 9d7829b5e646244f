"""The loggers that an argument stands for."""

from __future__ import annotations

from fulmen_interfaces import LOGGERS, Catalogue, Logger


def make_loggers(
    wanted: Logger | str | bool | tuple[Logger | str, ...], catalogue: Catalogue, root: str
) -> list[Logger]:
    """Return the loggers: those given, by name or as objects; for True the first choice among the installed ones."""
    if wanted is True:
        offered = [spec for spec in catalogue.specs(LOGGERS) if spec.priority > 0]
        return [max(offered, key=lambda spec: spec.priority).create(save_dir=root)] if offered else []
    if wanted is False:
        return []
    given = (wanted,) if isinstance(wanted, (Logger, str)) else wanted
    return [catalogue.find(LOGGERS, one).create(save_dir=root) if isinstance(one, str) else one for one in given]
