"""Profilers as plugins."""

from __future__ import annotations

from fulmen_interfaces import PROFILERS, Profiler, SupportsModuleProfiling
from fulmen_profilers import ADVANCED_SPEC, PYTORCH_SPEC, SIMPLE_SPEC
from fulmen_testing.conformance import Conformance


class TestSimple(Conformance):
    role = PROFILERS
    spec = SIMPLE_SPEC


class TestAdvanced(Conformance):
    role = PROFILERS
    spec = ADVANCED_SPEC


class TestPyTorch(Conformance):
    role = PROFILERS
    spec = PYTORCH_SPEC


def test_all_of_them_fulfil_the_contract():
    for spec in (SIMPLE_SPEC, ADVANCED_SPEC, PYTORCH_SPEC):
        assert isinstance(spec.create(), Profiler)


def test_only_the_pytorch_profiler_asks_for_the_model():
    asking = [isinstance(spec.create(), SupportsModuleProfiling) for spec in (SIMPLE_SPEC, ADVANCED_SPEC, PYTORCH_SPEC)]
    assert asking == [False, False, True]
