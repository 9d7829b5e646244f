"""Accelerators with one defect each, and the test that must find it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import torch

from fulmen_interfaces import DType, Probe
from fulmen_testing import FAKE_ACCELERATOR_SPEC, AcceleratorConformance, FakeAccelerator

COUNTER = count(1)


class Defective(FakeAccelerator):
    @property
    def spec(self) -> Any:
        return SPECS[type(self)]


class TeardownNeedsSetup(Defective):
    def teardown(self) -> None:
        self.calls.remove("setup")


class OtherDevice(Defective):
    def device(self, index: int) -> torch.device:
        return torch.device("meta")


class Silent(Defective):
    pass


class Forgetful(Defective):
    pass


class AnswersToItself(Defective):
    pass


class FirstOfAll(Defective):
    pass


class LowersToDouble(Defective):
    pass


class UnknownGroup(Defective):
    pass


class NumberedButNot(Defective):
    pass


class WrongRandomState(Defective):
    def random_state(self) -> dict[str, torch.Tensor]:
        return {}

    def set_random_state(self, state: Any) -> None:
        pass


class WordyStats(Defective):
    def stats(self, device: torch.device) -> Any:
        return {"load": "high"}


class BlamesMemory(Defective):
    def is_out_of_memory(self, error: BaseException) -> bool:
        return True

    def free_memory(self) -> None:
        pass


CHANGES: dict[type, dict[str, Any]] = {
    Silent: {"probe": lambda: Probe(0)},
    Forgetful: {"probe": lambda: Probe(next(COUNTER))},
    AnswersToItself: {"families": frozenset({"fake"})},
    FirstOfAll: {"priority": 0},
    LowersToDouble: {"autocast": frozenset({DType.FLOAT64})},
    UnknownGroup: {"process_group": "smoke_signals"},
    NumberedButNot: {"indexed": True},
}
FOUND_BY = {
    TeardownNeedsSetup: "test_teardown_needs_no_setup",
    OtherDevice: "test_device_has_its_type_and_index",
    Silent: "test_probe_counts_or_gives_a_reason",
    Forgetful: "test_probe_counts_or_gives_a_reason",
    AnswersToItself: "test_families_are_other_names",
    FirstOfAll: "test_cpu_comes_last",
    LowersToDouble: "test_autocast_lowers_the_precision",
    UnknownGroup: "test_process_group_is_known_to_torch",
    NumberedButNot: "test_device_has_its_type_and_index",
    WrongRandomState: "test_random_state_can_be_put_back",
    WordyStats: "test_stats_are_numbers_by_name",
    BlamesMemory: "test_lack_of_memory_is_told_from_other_errors",
}
SPECS = {broken: replace(FAKE_ACCELERATOR_SPEC, create=broken, **CHANGES.get(broken, {})) for broken in FOUND_BY}

for broken in FOUND_BY:
    name = f"Test{broken.__name__}"
    globals()[name] = type(name, (AcceleratorConformance,), {"spec": SPECS[broken], "__module__": __name__})
EXPECTED = {f"Test{broken.__name__}": test for broken, test in FOUND_BY.items()}
