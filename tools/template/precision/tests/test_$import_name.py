from __future__ import annotations

from $import_name import $spec
from fulmen_testing.conformance import PrecisionConformance


class Test$title(PrecisionConformance):
    spec = $spec
