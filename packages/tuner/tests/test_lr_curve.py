"""What a curve suggests, and its picture."""

from __future__ import annotations

import math
import random
import sys

import pytest
from matplotlib import image, pyplot

from fulmen_tuner import LearningRateCurve
from fulmen_tuner._sweep import Smoothed, rates_between

RATES = [10 ** (-6 + 0.1 * step) for step in range(61)]


def curve(loss, rates=RATES, mode="exponential"):
    losses = [loss(math.log10(rate)) for rate in rates]
    return LearningRateCurve(rates, losses=losses, raw=losses, mode=mode)


def falling_at(middle):
    """A smooth step down, steepest in its middle, and a steep way up behind it."""
    return lambda x: 1 / (1 + math.exp(8 * (x - middle))) + math.exp(30 * (x + 0.5))


@pytest.mark.parametrize("middle", [-4.0, -3.0, -2.5])
def test_the_steepest_fall_is_suggested(middle):
    assert curve(falling_at(middle)).suggestion() == pytest.approx(10**middle)


def test_slopes_are_those_over_the_logarithm_for_linear_rates_too():
    rates = [0.00005 + 0.00005 * step for step in range(1000)]
    found = curve(falling_at(-2.0), rates, "linear").suggestion()
    assert math.log10(found) == pytest.approx(-2.0, abs=0.03)


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_no_fall(seed):
    noise, mean = random.Random(seed), Smoothed()
    rates = rates_between(1e-8, 1.0, 100, "exponential")
    raw = [1 + 3 / (1 + math.exp(8 * (math.log10(rate) + 2))) + noise.gauss(0, 2) for rate in rates]
    found = LearningRateCurve(rates, losses=[mean.add(one) for one in raw], raw=raw, mode="exponential").suggestion()
    assert 1e-3 < found < 1.0


def test_dips_behind_the_lowest_point_do_not_count():
    def loss(x):
        return falling_at(-4.0)(x) + (5 - 4 * (x > -1.05) if x > -1.25 else 0.0)

    assert curve(loss).suggestion() == pytest.approx(1e-4)


def test_what_is_left_out_is_not_suggested():
    steep_start = curve(lambda x: 10 * (x < -5.75) + falling_at(-3.0)(x))
    assert steep_start.suggestion() == pytest.approx(1e-3)
    assert steep_start.suggestion(skip_begin=0) < 1e-5
    assert curve(lambda x: -x - 100 * (x > -0.05)).suggestion(skip_end=1) < RATES[-1]


@pytest.mark.parametrize("loss", [lambda x: x, lambda x: 1.0])
def test_where_nothing_falls_nothing_is_suggested(loss):
    with pytest.warns(UserWarning, match="the loss fell at none of them"):
        assert curve(loss).suggestion() is None


def test_too_few_points_are_told():
    with pytest.warns(
        UserWarning, match="12 steps were made, and without the first 10 and the last 1 of them 1 are left"
    ):
        assert curve(lambda x: -x, RATES[:12]).suggestion() is None


def test_the_picture_shows_the_curve_and_the_suggestion(tmp_path):
    drawn = curve(falling_at(-3.0))
    figure = drawn.plot(suggest=True)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert axes.get_xscale() == "log"
    assert list(lines["smoothed"].get_ydata()) == drawn.results["loss"]
    assert list(lines["suggested: 0.001"].get_xdata()) == [drawn.suggestion()]
    lowest, highest = axes.get_ylim()
    assert lowest < 0.0 < 1.0 < highest < 2.0  # the explosion behind does not press the curve to the floor
    figure.savefig(tmp_path / "lr.png")
    assert image.imread(tmp_path / "lr.png").std() > 0
    pyplot.close(figure)


def test_it_is_drawn_where_it_is_told_to():
    figure, axes = pyplot.subplots()
    assert curve(falling_at(-3.0)).plot(ax=axes) is figure
    assert len(axes.get_lines()) == 2
    pyplot.close(figure)


def test_linear_rates_have_a_linear_axis():
    figure = curve(falling_at(-3.0), mode="linear").plot()
    assert figure.axes[0].get_xscale() == "linear"
    pyplot.close(figure)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install fulmen-tuner\[plot\]"):
        curve(falling_at(-3.0)).plot()
