"""What TensorBoard's HPARAMS tab reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulmen_interfaces import PlainValue, flat_params

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def write_hparams_tab(writer: SummaryWriter, params: Mapping[str, PlainValue], metrics: Mapping[str, float]) -> None:
    """Say with which hyper-parameters this run is made, and which metrics it is compared by.

    The metrics' first values must be written already. (`SummaryWriter.add_hparams` would make a run of its own.)
    """
    from torch.utils.tensorboard.summary import hparams

    shown = {name: _shown(value) for name, value in flat_params(params).items()}
    file_writer: Any = writer.file_writer
    for summary in hparams(shown, dict(metrics)):  # type: ignore[no-untyped-call]
        file_writer.add_summary(summary)


def _shown(value: PlainValue) -> bool | int | float | str:
    """Return the value in a form that has a column: lists and nothing are shown as text."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)
