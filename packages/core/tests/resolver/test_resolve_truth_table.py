"""Random specs and requests: the problems are exactly those that the specs imply, and suggestions hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen_core.resolver import RunRequest, resolve
from fulmen_interfaces import (
    ACCELERATORS,
    LAUNCHERS,
    PRECISIONS,
    STRATEGIES,
    AcceleratorSpec,
    Catalogue,
    ConfigurationError,
    DType,
    LauncherSpec,
    PrecisionPolicy,
    PrecisionSpec,
    Probe,
    StrategySpec,
)

dtypes = st.frozensets(st.sampled_from(DType))


@st.composite
def accelerators(draw):
    count = draw(st.integers(0, 3))
    return AcceleratorSpec(
        name=draw(st.sampled_from(["alpha", "beta"])),
        create=object,
        device_type=draw(st.sampled_from(["one", "two"])),
        probe=lambda: Probe(count, "" if count else "None is plugged in."),
        priority=1,
        dtypes=draw(dtypes),
        autocast=draw(dtypes),
        loss_scaling=draw(st.booleans()),
        process_group=draw(st.sampled_from([None, "gloo"])),
        indexed=draw(st.booleans()),
        auto_devices=draw(st.sampled_from([None, 1, 2])),
    )


@st.composite
def strategy_specs(draw, name="way"):
    return StrategySpec(
        name=name,
        create=object,
        priority=draw(st.integers(0, 9)),
        max_devices=draw(st.sampled_from([None, 1, 2])),
        multi_node=draw(st.booleans()),
        needs_process_group=draw(st.booleans()),
        launcher=draw(st.sampled_from([None, "script", "fork", "absent"])),
        device_types=draw(st.sampled_from([None, frozenset({"one"})])),
        autocast=draw(dtypes),
        cast=draw(dtypes),
        loss_scaling=draw(st.booleans()),
    )


@st.composite
def precisions(draw, name="exact"):
    kept, computed = draw(st.sampled_from(DType)), draw(st.sampled_from(DType))
    policy = PrecisionPolicy(name, kept, computed, kept, kept, draw(st.booleans()), draw(st.booleans()))
    return PrecisionSpec(name=name, create=object, policy=policy)


def installed(accelerator, strategies, policies):
    catalogue = Catalogue()
    catalogue.register(ACCELERATORS, accelerator)
    for strategy in strategies:
        catalogue.register(STRATEGIES, strategy)
    for policy in policies:
        catalogue.register(PRECISIONS, policy)
    catalogue.register(LAUNCHERS, LauncherSpec(name="script", create=object))
    catalogue.register(LAUNCHERS, LauncherSpec(name="fork", create=object, interactive=True))
    return catalogue


def bad_precision(policy, accelerator, strategy):
    """Count: what the accelerator cannot do is one problem, what the strategy cannot do another."""
    lowered = accelerator.autocast if policy.autocast else accelerator.dtypes
    on_device = {policy.parameters, policy.buffers} <= accelerator.dtypes and policy.compute in lowered
    on_device = on_device and (accelerator.loss_scaling or not policy.loss_scaling)
    in_strategy = policy.compute in (strategy.autocast if policy.autocast else strategy.cast)
    in_strategy = in_strategy and (strategy.loss_scaling or not policy.loss_scaling)
    return (not on_device) + (not in_strategy)


def expected_arguments(accelerator, strategy, policy, devices, num_nodes, interactive):
    """The truth table, written independently of the checks."""
    wrong = ["precision"] * bad_precision(policy, accelerator, strategy)
    exists = accelerator.probe().count
    total = devices * num_nodes
    if not exists:
        wrong.append("accelerator")
    elif accelerator.indexed and devices > exists:
        wrong.append("devices")
    foreign = strategy.device_types is not None and accelerator.device_type not in strategy.device_types
    grouped = strategy.needs_process_group or (total > 1 and strategy.max_devices != 1)
    if foreign or (grouped and accelerator.process_group is None):
        wrong.append("strategy")
    if num_nodes > 1 and not strategy.multi_node:
        wrong.append("num_nodes")
    if strategy.max_devices is not None:
        if devices > strategy.max_devices:
            wrong.append("devices")
        elif total > strategy.max_devices and strategy.multi_node:
            wrong.append("num_nodes")
    launches = {"script": not interactive, "fork": True}.get(strategy.launcher, False)
    if total > 1 and not launches and not {"devices", "num_nodes"} & set(wrong):
        wrong.append("strategy")
    return sorted(wrong)


def problems_of(request, catalogue, interactive):
    try:
        resolve(request, catalogue, interactive=interactive)
    except ConfigurationError as error:
        return error
    return None


def check_suggestions(error, catalogue, interactive):
    for text in error.suggestions:
        request = eval(text, {"Trainer": RunRequest})
        assert problems_of(request, catalogue, interactive) is None, text


@settings(max_examples=300, deadline=None)
@given(accelerators(), strategy_specs(), precisions(), st.integers(1, 4), st.integers(1, 2), st.booleans())
def test_named_parts_give_exactly_the_problems_of_their_specs(
    accelerator, strategy, precision, devices, num_nodes, interactive
):
    catalogue = installed(accelerator, [strategy], [precision])
    request = RunRequest(accelerator.name, "way", "exact", devices, num_nodes)
    error = problems_of(request, catalogue, interactive)
    found = sorted(problem.argument for problem in error.problems) if error else []
    assert found == expected_arguments(accelerator, strategy, precision.policy, devices, num_nodes, interactive)
    if error:
        assert all(problem.reason.endswith((".", "?")) for problem in error.problems)
        check_suggestions(error, catalogue, interactive)


@settings(max_examples=150, deadline=None)
@given(
    accelerators(),
    strategy_specs("way"),
    strategy_specs("road"),
    precisions(),
    st.sampled_from(["auto", 1, 2]),
    st.booleans(),
)
def test_auto_finds_the_best_strategy_that_has_no_problem(accelerator, way, road, precision, devices, interactive):
    catalogue = installed(accelerator, [way, road], [precision])
    error = problems_of(RunRequest(accelerator.name, "auto", "exact", devices), catalogue, interactive)
    exists = accelerator.probe().count
    asked = min(exists, accelerator.auto_devices or exists) if devices == "auto" else devices

    def fits(strategy, count):
        return not expected_arguments(accelerator, strategy, precision.policy, count, 1, interactive)

    ranked = sorted([way, road], key=lambda spec: (-spec.priority, spec.name))
    fitting = [one.name for one in ranked if asked and fits(one, asked)]
    if not fitting and devices == "auto" and asked > 1:
        fitting = [one.name for one in ranked if fits(one, 1)]
    if fitting:
        assert error is None, str(error)
        plan = resolve(RunRequest(accelerator.name, "auto", "exact", devices), catalogue, interactive=interactive)
        assert plan.strategy_spec.name == fitting[0]
    else:
        assert error is not None
        check_suggestions(error, catalogue, interactive)


WORDS = [
    "auto",
    "alpha",
    "beta",
    "way",
    "road",
    "exact",
    "rough",
    "wya",
    "exakt",
    "cuda:0",
    "ddp",
    "gpu",
    "",
    "16",
    "fp16",
]


@settings(max_examples=300, deadline=None)
@given(
    accelerators(),
    st.tuples(strategy_specs("way"), strategy_specs("road")),
    st.tuples(precisions("exact"), precisions("rough")),
    st.sampled_from([*WORDS, None, 3]),
    st.sampled_from([*WORDS, None, 3]),
    st.sampled_from([*WORDS, None, 16]),
    st.sampled_from(["auto", "-1", "0,1", "x", "", None, True, 2.5, -1, 0, 1, 2, 9, [0], [0, 0], [7], []]),
    st.sampled_from([1, 2, 0, "2", True]),
)
def test_whatever_is_asked_the_answer_is_a_plan_or_advice_that_holds(
    accelerator, strategies, policies, asked_accelerator, asked_strategy, asked_precision, devices, num_nodes
):
    catalogue = installed(accelerator, strategies, policies)
    request = RunRequest(asked_accelerator, asked_strategy, asked_precision, devices, num_nodes)
    error = problems_of(request, catalogue, False)
    if error:
        assert error.problems
        assert all(str(problem).strip() for problem in error.problems)
        check_suggestions(error, catalogue, False)
