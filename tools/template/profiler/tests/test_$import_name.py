from __future__ import annotations

from fulmen_interfaces import PROFILERS
from $import_name import $spec
from fulmen_testing.conformance import Conformance


class Test$title(Conformance):
    role = PROFILERS
    spec = $spec
