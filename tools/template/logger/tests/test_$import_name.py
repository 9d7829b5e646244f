from __future__ import annotations

from $import_name import $spec
from fulmen_testing.conformance import LoggerConformance


class Test$title(LoggerConformance):
    spec = $spec
