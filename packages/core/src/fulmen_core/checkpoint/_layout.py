"""What lies in the directory of a sharded checkpoint.

::

    last.ckpt/
        .metadata         torch.distributed.checkpoint's table: which part of which tensor is in which file
        __0_0.distcp      the tensors that rank 0 wrote: `model.<name>` and `optimizer_<i>.state.<parameter>.<key>`,
                          and where an accumulation window was open its gradients, `gradients_<rank>.<name>`
        __1_0.distcp      those of rank 1, and so on
        meta.pt           everything else, as a plain checkpoint file; written last

Parameters go by their names in the user's module, so neither the strategy nor the number of processes that wrote the
directory matters to who reads it. torch's own tools read the tensors, and `meta.pt` is an ordinary `torch.save` file.
Its entry `sharded` holds what of the states of model and optimizers is no tensor.
"""

from __future__ import annotations

STATE_DICT = "state_dict"
OPTIMIZER_STATES = "optimizer_states"
"""Where a checkpoint holds the states that are divided among files."""
GRADIENTS = "gradients"
"""Where it holds what this rank has of an open window's gradients, while it is written to a directory."""
RUN = "fulmen"
RANKS = "ranks"
"""Where, below `RUN`, it holds each rank's own state, `GRADIENTS` among it, when it is read."""
META_FILE = "meta.pt"
TABLE_FILE = ".metadata"
SHARDED_KEY = "sharded"
"""The entry of `meta.pt` that only a directory has."""
FORMAT_VERSION = 1
MODEL = "model"
OPTIMIZERS = "optimizers"
STATE = "state"


def optimizer_entry(number: int) -> str:
    """Return under what name an optimizer's tensors are stored."""
    return f"optimizer_{number}"


def gradients_entry(rank: int) -> str:
    """Return under what name a rank's gradients are stored."""
    return f"{GRADIENTS}_{rank}"
