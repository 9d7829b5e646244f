"""Where batches come from and how they get to the device: what a module must know of data, and no more.

Apart from `fulmen_core.data`, so that a program that only defines modules does not import how data is read.
"""

from __future__ import annotations

from fulmen_core.batches._data_hooks import DataHooks, overrides_data_hook
from fulmen_core.batches._transfer import move_to_device, transfer_function

__all__ = ["DataHooks", "move_to_device", "overrides_data_hook", "transfer_function"]
