from __future__ import annotations

from $import_name import $spec
from fulmen_testing.conformance import CallbackConformance


class Test$title(CallbackConformance):
    spec = $spec
