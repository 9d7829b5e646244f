"""What steps are called with, by the arguments that they take."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from kernel_cases import Line, differences, loader, trainer, twins

from fulmen_interfaces import ModuleError


def test_a_step_may_leave_out_the_batch_index() -> None:
    class Short(Line):
        def training_step(self, batch: Any) -> Any:
            return self.loss(batch)

        def validation_step(self, batch: Any) -> None:
            self.log("v", 1.0)

    ours, plain = Short(), Line()
    fitted = trainer()
    fitted.fit(ours, loader(2), loader(1))
    trainer().fit(plain, loader(2))
    assert differences(ours, plain) == []
    assert fitted.callback_metrics["v"] == 1.0


def test_a_step_may_be_decorated_or_take_anything() -> None:
    class Loose(Line):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            assert len(args) == 2
            return self.loss(args[0])

        def validation_step(self, *args: Any) -> None:
            assert len(args) == 2

    trainer().fit(Loose(), loader(1), loader(1))


def test_a_step_may_read_its_batch_from_an_iterator() -> None:
    class Reading(Line):
        read: ClassVar[list[Any]] = []

        def training_step(self, dataloader_iter: Any) -> Any:
            batch, batch_idx, dataloader_idx = next(dataloader_iter)
            self.read.append(("train", batch_idx, dataloader_idx))
            return self.loss(batch)

        def validation_step(self, dataloader_iter: Any) -> None:
            batch, batch_idx, dataloader_idx = next(dataloader_iter)
            self.read.append(("val", batch_idx, dataloader_idx))
            self.log("loss", self.loss(batch))

    Reading.read = []
    ours, plain = twins(Reading)[0], Line()
    trainer(num_sanity_val_steps=0).fit(ours, loader(2), [loader(1), loader(2)])
    trainer().fit(plain, loader(2))
    assert differences(ours, plain) == []
    assert Reading.read == [("train", 0, 0), ("train", 1, 0), ("val", 0, 0), ("val", 0, 1), ("val", 1, 1)]


def test_an_iterator_gives_a_step_one_batch() -> None:
    class Greedy(Line):
        def training_step(self, dataloader_iter: Any) -> Any:
            return sum(self.loss(batch) for batch, _, _ in dataloader_iter)

    with pytest.raises(ModuleError, match=r"second batch from `dataloader_iter`.*accumulate_grad_batches"):
        trainer().fit(Greedy(), loader(2))
