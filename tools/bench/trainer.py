"""Cases of one process: what the steps of a Trainer cost beside a loop by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from functools import partial

import torch
from cases import Case
from contenders import BARE, Contender, Library, UserModule, silence
from torch.nn.functional import cross_entropy
from workload import Clock, loader, network, train_by_hand


class Mode(Enum):
    """Which of the three kinds of steps a case takes."""

    TRAIN = auto()
    VALIDATE = auto()
    PREDICT = auto()


def case(name: str, what: str, mode: Mode, limit: float, *, metrics: int = 0, bare: bool = True) -> Case:
    """A case whose steps log so many values. The loop by hand logs none: what logging costs is part of the answer.

    `bare` says whether everything that a Trainer can leave out is left out.
    """

    def contenders(found: Sequence[Library]) -> Mapping[str, Contender]:
        settings = BARE if bare else {}
        return {
            "raw": partial(by_hand, mode),
            **{library.name: partial(with_trainer, library, mode, metrics, settings) for library in found},
        }

    return Case(name, what, limit, contenders)


def by_hand(mode: Mode, steps: int, clock: Clock) -> None:
    """The steps with no framework at all."""
    if mode is Mode.TRAIN:
        return train_by_hand(network, steps, clock)
    net, batches = network(), loader(steps)
    net.eval()
    predictions = []
    with torch.inference_mode():
        for features, labels in batches:
            clock.tick()
            if mode is Mode.VALIDATE:
                cross_entropy(net(features), labels)
            else:
                predictions.append(net(features))


def with_trainer(
    library: Library, mode: Mode, metrics: int, settings: Mapping[str, object], steps: int, clock: Clock
) -> None:
    """The same steps in a new Trainer."""
    module = library.module(UserModule, clock, network(), metrics)
    with silence(), tempfile.TemporaryDirectory() as folder:
        trainer = library.trainer(default_root_dir=folder, **settings)
        if mode is Mode.TRAIN:
            trainer.fit(module, loader(steps))
        elif mode is Mode.VALIDATE:
            trainer.validate(module, loader(steps), verbose=False)
        else:
            trainer.predict(module, loader(steps))


CASES = (
    case("bare", "train step, everything off", Mode.TRAIN, 1.05),
    case("one_log", "train step with one self.log", Mode.TRAIN, 1.08, metrics=1),
    case("twenty_logs", "train step with twenty self.log", Mode.TRAIN, 1.30, metrics=20),
    case("default", "train step, default Trainer, one self.log", Mode.TRAIN, 1.12, metrics=1, bare=False),
    case("validate", "validation step with one self.log", Mode.VALIDATE, 1.20, metrics=1),
    case("predict", "predict step", Mode.PREDICT, 1.12),
)
