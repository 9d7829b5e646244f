from __future__ import annotations

from $import_name import $spec
from fulmen_testing.conformance import StrategyConformance


class Test$title(StrategyConformance):
    spec = $spec
