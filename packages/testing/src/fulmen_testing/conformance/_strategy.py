"""What every strategy must do."""

from __future__ import annotations

from fulmen_testing.conformance._strategy_life import StrategyLife
from fulmen_testing.conformance._strategy_state import StrategyState
from fulmen_testing.conformance._strategy_training import StrategyTraining


class StrategyConformance(StrategyLife, StrategyTraining, StrategyState):
    """Trains a small model through the strategy, in one process, and beside it in a plain torch loop.

    Set `spec`, and `accelerator` to train on another family than the host's processor. Tests with a precision run once
    for every installed one that both specs allow. Weights must agree bit for bit; a strategy that computes in another
    order states in `tolerances` how far they may be apart.
    """
