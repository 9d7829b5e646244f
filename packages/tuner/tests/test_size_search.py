"""Which sizes are tried, without running anything: compared with trying all of them."""

from __future__ import annotations

import pytest

from fulmen_tuner._sizes import Outcome, SizeSearch


def largest(search, limit, samples=10**6):
    tried = []

    def attempt(size):
        tried.append(size)
        return Outcome(fits=size <= limit, most=samples)

    found = search.largest(attempt)
    assert len(tried) == len(set(tried)) <= search.max_trials
    return found


@pytest.mark.parametrize("first", [1, 2, 3, 16, 1000])
def test_binsearch_finds_every_limit(first):
    search = SizeSearch(mode="binsearch", first=first, margin=0.0, max_trials=100)
    for limit in range(0, 200):
        assert largest(search, limit) == limit


@pytest.mark.parametrize("first", [1, 2, 3])
def test_power_finds_the_last_doubling(first):
    search = SizeSearch(mode="power", first=first)
    for limit in range(first, 200):
        doublings = [first * 2**n for n in range(20)]
        assert largest(search, limit) == max(size for size in doublings if size <= limit)


@pytest.mark.parametrize("mode", ["power", "binsearch"])
def test_bounds_are_kept_and_reached(mode):
    for most in range(1, 50):
        assert largest(SizeSearch(mode=mode, most=most), limit=10**9) == most
        assert largest(SizeSearch(mode=mode), limit=10**9, samples=most) == most
