"""Weights after training equal those of a hand-written loop, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Deep, Line, Unsized, differences, loader, trainer, twins
from torch import nn
from torch.utils.data import DataLoader


def by_hand(
    module: Line,
    data: DataLoader[Any],
    *,
    epochs: int = 1,
    accumulate: int = 1,
    clip: tuple[str, float] | None = None,
    max_steps: int = 10**9,
) -> None:
    """The truth: windows are averaged over as many batches as they hold."""
    optimizer = module.configure_optimizers()
    steps = 0
    for _ in range(epochs):
        for index, batch in enumerate(data):
            size = min(accumulate, len(data) - index // accumulate * accumulate)
            loss = module.training_step(batch, index)
            if index % accumulate == 0:
                optimizer.zero_grad()
            (loss / size if size > 1 else loss).backward()
            if index % accumulate == accumulate - 1 or index == len(data) - 1:
                if clip is not None:
                    how = nn.utils.clip_grad_norm_ if clip[0] == "norm" else nn.utils.clip_grad_value_
                    how(module.parameters(), clip[1])
                optimizer.step()
                steps += 1
                if steps == max_steps:
                    return


def both(kind: type[Line], data: Any, epochs: int, run: dict[str, Any], **truth: Any) -> tuple[Line, Line]:
    """Train one module with a Trainer and its twin by hand, from the same random state."""
    ours, theirs = twins(kind)
    torch.manual_seed(7)
    trainer(max_epochs=epochs, **run).fit(ours, data)
    torch.manual_seed(7)
    by_hand(theirs, data, epochs=epochs, **truth)
    return ours, theirs


@pytest.mark.parametrize("kind", [Line, Deep])
@pytest.mark.parametrize("shuffle", [False, True])
def test_plain_training(kind: type[Line], shuffle: bool) -> None:
    assert differences(*both(kind, loader(5, size=3, shuffle=shuffle), 3, {})) == []


def test_training_changes_every_weight() -> None:
    ours, untouched = twins(Deep)
    trainer().fit(ours, loader(3))
    assert set(differences(ours, untouched)) == set(ours.state_dict())


@pytest.mark.parametrize(("batches", "accumulate"), [(6, 2), (6, 3), (5, 2), (7, 3), (2, 4)])
def test_a_last_window_that_is_smaller_is_averaged_over_its_real_size(batches: int, accumulate: int) -> None:
    run = {"accumulate_grad_batches": accumulate}
    assert differences(*both(Deep, loader(batches), 2, run, accumulate=accumulate)) == []


@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_the_last_window_is_mended_when_the_data_did_not_tell_its_length(accumulate: int) -> None:
    data = loader(5)
    ours, theirs = twins()
    trainer(max_epochs=2, accumulate_grad_batches=accumulate).fit(ours, Unsized(data))
    by_hand(theirs, data, epochs=2, accumulate=accumulate)
    for mine, truth in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-5, atol=1e-7)


def test_full_windows_of_unsized_data_are_exact() -> None:
    data = loader(6)
    ours, theirs = twins()
    trainer(accumulate_grad_batches=3).fit(ours, Unsized(data))
    by_hand(theirs, data, accumulate=3)
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_clipping_bounds_the_gradients_of_the_whole_window(algorithm: str, accumulate: int) -> None:
    run = {"gradient_clip_val": 0.05, "gradient_clip_algorithm": algorithm, "accumulate_grad_batches": accumulate}
    ours, theirs = both(Deep, loader(5), 2, run, accumulate=accumulate, clip=(algorithm, 0.05))
    assert differences(ours, theirs) == []
    unclipped, _ = both(Deep, loader(5), 2, {"accumulate_grad_batches": accumulate})
    assert differences(ours, unclipped)


def test_clipping_is_by_norm_if_nothing_else_is_said() -> None:
    assert differences(*both(Line, loader(3), 1, {"gradient_clip_val": 0.05}, clip=("norm", 0.05))) == []


def test_max_steps_stops_after_an_optimizer_step() -> None:
    assert differences(*both(Line, loader(5), 3, {"max_steps": 7}, max_steps=7)) == []


@settings(max_examples=20, deadline=None)
@given(
    batches=st.integers(1, 6),
    accumulate=st.integers(1, 4),
    epochs=st.integers(1, 2),
    clip=st.sampled_from([None, ("norm", 0.1), ("value", 0.02)]),
    max_steps=st.sampled_from([-1, 1, 3, 5]),
    momentum=st.sampled_from([0.0, 0.9]),
    data=st.data(),
)
def test_any_configuration(
    batches: int,
    accumulate: int,
    epochs: int,
    clip: tuple[str, float] | None,
    max_steps: int,
    momentum: float,
    data: st.DataObject,
) -> None:
    shuffle = data.draw(st.booleans(), "shuffle")

    class Drawn(Deep):
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05, momentum=momentum, weight_decay=0.01)

    class Watching(Drawn):
        def on_before_zero_grad(self, optimizer: Any) -> None:
            """Be there: then gradients are cleared where this hook belongs, else as soon as they can be."""

    kind = data.draw(st.sampled_from([Drawn, Watching]), "kind")
    run: dict[str, Any] = {"accumulate_grad_batches": accumulate, "max_steps": max_steps}
    if clip is not None:
        run |= {"gradient_clip_algorithm": clip[0], "gradient_clip_val": clip[1]}
    steps = {} if max_steps == -1 else {"max_steps": max_steps}
    ours, theirs = both(kind, loader(batches, shuffle=shuffle), epochs, run, accumulate=accumulate, clip=clip, **steps)
    assert differences(ours, theirs) == []
