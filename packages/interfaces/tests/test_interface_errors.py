from __future__ import annotations

import pickle

import pytest

import fulmen_interfaces
from fulmen_interfaces import CheckpointError, ConfigurationError, FulmenError, Problem

STRATEGY = Problem("strategy", "ddp_shared", "There is no such strategy.", "Did you mean 'ddp_sharded'?")
PRECISION = Problem("precision", 8, "There is no such precision.")

ERRORS = [
    value
    for name in fulmen_interfaces.__all__
    if isinstance(value := getattr(fulmen_interfaces, name), type) and issubclass(value, BaseException)
]


def test_one_problem_is_one_sentence() -> None:
    expected = "strategy='ddp_shared': There is no such strategy. Did you mean 'ddp_sharded'?"
    assert str(ConfigurationError([STRATEGY])) == expected


def test_several_problems_are_numbered_and_followed_by_what_works() -> None:
    error = ConfigurationError([STRATEGY, PRECISION], ['Trainer(strategy="ddp")', "Trainer()"])
    assert str(error).splitlines() == [
        "2 problems with this configuration:",
        "  1. strategy='ddp_shared': There is no such strategy. Did you mean 'ddp_sharded'?",
        "  2. precision=8: There is no such precision.",
        "What would work here:",
        '  Trainer(strategy="ddp")',
        "  Trainer()",
    ]


def test_a_value_takes_one_line_whatever_it_is() -> None:
    class Model:
        def __repr__(self) -> str:
            return "Model(\n  Layer\n)"

    assert str(Problem("module", Model(), "It was not set up.")) == "module=Model(...: It was not set up."
    text = str(Problem("devices", list(range(1000)), "They are too many."))
    assert text.startswith("devices=[0, 1, 2")
    assert len(text) < 250


def test_one_problem_with_suggestions_is_counted_in_the_singular() -> None:
    assert str(ConfigurationError([PRECISION], ["Trainer()"])).startswith("1 problem with this configuration:")


def test_configuration_errors_cross_processes_whole() -> None:
    error = pickle.loads(pickle.dumps(ConfigurationError([STRATEGY, PRECISION], ["Trainer()"])))
    assert error.problems == (STRATEGY, PRECISION)
    assert error.suggestions == ("Trainer()",)
    assert str(error) == str(ConfigurationError([STRATEGY, PRECISION], ["Trainer()"]))


def test_checkpoint_errors_cross_processes_with_their_path() -> None:
    error = pickle.loads(pickle.dumps(CheckpointError("cannot be read", "/some/file")))
    assert (str(error), error.path) == ("cannot be read", "/some/file")


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind not in (ConfigurationError, CheckpointError)])
def test_every_other_error_crosses_processes(kind: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(kind("what, why, what works")))
    assert type(error) is kind
    assert str(error) == "what, why, what works"


def test_every_error_is_one_of_ours_and_of_python_where_it_has_a_word_for_it() -> None:
    assert len(ERRORS) >= 12
    assert all(issubclass(kind, FulmenError) for kind in ERRORS)
    bases = {kind.__name__: kind for kind in ERRORS}
    for name, base in {
        "ConfigurationError": ValueError,
        "UnknownPlugin": LookupError,
        "DataError": ValueError,
        "LoggingError": ValueError,
        "StepOutputError": ValueError,
        "RankError": RuntimeError,
    }.items():
        assert issubclass(bases[name], base)
