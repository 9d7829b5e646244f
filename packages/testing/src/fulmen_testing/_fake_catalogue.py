"""A catalogue in which only fakes are installed."""

from __future__ import annotations

from fulmen_interfaces import ACCELERATORS, LOGGERS, PRECISIONS, STRATEGIES, Catalogue
from fulmen_testing._fake_accelerator import FAKE_ACCELERATOR_SPEC
from fulmen_testing._fake_logger import FAKE_LOGGER_SPEC
from fulmen_testing._fake_precision import FAKE_PRECISION_SPEC
from fulmen_testing._fake_strategy import FAKE_STRATEGY_SPEC


def fake_catalogue() -> Catalogue:
    """Return a new catalogue with one accelerator, strategy, precision and logger: enough for a run by default."""
    catalogue = Catalogue()
    catalogue.register(ACCELERATORS, FAKE_ACCELERATOR_SPEC)
    catalogue.register(STRATEGIES, FAKE_STRATEGY_SPEC)
    catalogue.register(PRECISIONS, FAKE_PRECISION_SPEC)
    catalogue.register(LOGGERS, FAKE_LOGGER_SPEC)
    return catalogue
