from __future__ import annotations

from $import_name import $spec
from fulmen_testing.conformance import AcceleratorConformance


class Test$title(AcceleratorConformance):
    spec = $spec
