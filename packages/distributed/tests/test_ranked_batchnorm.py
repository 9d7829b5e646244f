"""Batch norm over ranks on one process: names, objects and values stay those of torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fulmen_distributed import RankedBatchNorm, synchronise_batchnorm


class Images(nn.Module):
    """Layers of all dimensions, nested."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.inner = nn.Sequential(nn.BatchNorm2d(3, momentum=None), nn.Flatten(), nn.LayerNorm(27))
        self.volume = nn.BatchNorm3d(2, affine=False)


def test_layers_keep_their_names_parameters_and_buffers() -> None:
    module = Images()
    before = dict(module.named_parameters()) | dict(module.named_buffers())
    synchronise_batchnorm(module, "cpu")
    after = dict(module.named_parameters()) | dict(module.named_buffers())
    assert before.keys() == after.keys()
    assert all(after[name] is value for name, value in before.items())
    kinds = [type(part) for part in (module.norm, module.inner[0], module.volume, module.inner[2])]
    assert kinds == [RankedBatchNorm] * 3 + [nn.LayerNorm]
    replaced = module.norm
    synchronise_batchnorm(module, "cpu")
    assert module.norm is replaced


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(4), (8, 4)),
        (nn.BatchNorm2d(4, momentum=None), (3, 4, 5, 5)),
        (nn.BatchNorm3d(4, affine=False, track_running_stats=False), (2, 4, 3, 3, 3)),
    ],
)
def test_one_process_gets_what_torch_computes(layer: nn.BatchNorm1d, shape: tuple[int, ...], training: bool) -> None:
    torch.manual_seed(0)
    layer.train(training)
    layer.reset_running_stats()
    batch = torch.randn(shape)
    ours = RankedBatchNorm.like(layer)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    expected = layer(batch)
    after = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    assert torch.equal(ours(batch), expected)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, after[name]), name
