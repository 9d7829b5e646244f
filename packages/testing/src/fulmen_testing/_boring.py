"""A module and data that do as little as possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset


class BoringModule(nn.Module):
    """One linear layer, which also answers what callbacks ask of a module. `logged` holds (name, value, options)."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.layer = nn.Linear(size, 2)
        self.example_input_array: Any = torch.zeros(1, size)
        self.logged: list[tuple[str, Any, dict[str, Any]]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer."""
        result: torch.Tensor = self.layer(x)
        return result

    def log(self, name: str, value: Any, **options: Any) -> None:
        """Keep a metric."""
        self.logged.append((name, value, options))

    def log_dict(self, dictionary: Mapping[str, Any], **options: Any) -> None:
        """Keep several metrics."""
        for name, value in dictionary.items():
            self.log(name, value, **options)


class RandomDataset(Dataset[torch.Tensor]):
    """Rows of random numbers, the same for the same seed."""

    def __init__(self, size: int = 32, length: int = 64, seed: int = 0) -> None:
        self.rows = torch.randn(length, size, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.rows[index]
