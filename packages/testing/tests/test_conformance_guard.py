"""Nobody loses a standard test from a conformance class unseen."""

from __future__ import annotations

import pytest

from fulmen_testing import FAKE_ACCELERATOR_SPEC, AcceleratorConformance


class Kept(AcceleratorConformance):
    spec = FAKE_ACCELERATOR_SPEC


class Overridden(Kept):
    def test_cpu_comes_last(self) -> None:
        pass


class Removed(Kept):
    test_cpu_comes_last = None  # type: ignore[assignment]


class ExpectedToFail(Kept):
    @pytest.mark.xfail(reason="the vendor's driver counts from 1")
    def test_cpu_comes_last(self) -> None:
        super().test_cpu_comes_last()


class ExpectedToFailForNoReason(Kept):
    @pytest.mark.xfail
    def test_cpu_comes_last(self) -> None:
        super().test_cpu_comes_last()


class Skipped(Kept):
    @pytest.mark.skip(reason="not now")
    def test_cpu_comes_last(self) -> None:
        super().test_cpu_comes_last()


class Extended(Kept):
    def test_of_the_vendor(self) -> None:
        pass


@pytest.mark.parametrize("suite", [Kept, ExpectedToFail, Extended])
def test_suites_that_keep_the_standard_tests_pass(suite: type[AcceleratorConformance]) -> None:
    suite().test_standard_tests_are_all_there()


@pytest.mark.parametrize("suite", [Overridden, Removed, ExpectedToFailForNoReason, Skipped])
def test_suites_that_change_one_are_told_which(suite: type[AcceleratorConformance]) -> None:
    with pytest.raises(AssertionError, match="without an xfail mark and a reason: test_cpu_comes_last"):
        suite().test_standard_tests_are_all_there()
