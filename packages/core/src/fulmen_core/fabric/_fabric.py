"""Fabric: the loop is the user's."""

from __future__ import annotations

from fulmen_core.fabric._file_methods import FileMethods
from fulmen_core.fabric._process_methods import ProcessMethods
from fulmen_core.fabric._setup_methods import SetupMethods
from fulmen_core.fabric._training_methods import TrainingMethods


class Fabric(SetupMethods, TrainingMethods, ProcessMethods, FileMethods):
    """Runs a training loop of your own on the devices, strategies and precisions of the Trainer.

    ::

        fabric = L.Fabric(accelerator="auto", devices=2, strategy="ddp", precision="bf16-mixed")
        fabric.launch()
        model, optimizer = fabric.setup(model, optimizer)
        loader = fabric.setup_dataloaders(loader)
        for batch in loader:
            optimizer.zero_grad()
            fabric.backward(model(batch).mean())
            optimizer.step()

    The arguments are those of the Trainer; `callbacks` may be any objects, whose methods `call` calls. A subclass may
    define `run`, which launches when it is called.
    """
