"""The layers of a model, counted."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedParameter

from fulmen_callbacks._problems import at_least, refuse
from fulmen_callbacks._summary._text import LayerSummary, Summary
from fulmen_callbacks._summary._trace import LayerTrace, trace_layers

OTHER_PARAMETERS = "other params"
"""The row of parameters that belong to no layer of the summary."""


def summarize(module: nn.Module, max_depth: int = 1, *, example_input: Any = None) -> Summary:
    """Count a model's layers down to a depth: 1 for its own children, -1 for all, 0 for none.

    Sizes and operations are found by one forward pass with `example_input`, or with the module's `example_input_array`;
    a tuple stands for several arguments, a dictionary for named ones. If that pass fails, there is a warning, and the
    summary does without.
    """
    refuse([at_least("max_depth", max_depth, -1)])
    if example_input is None:
        example_input = getattr(module, "example_input_array", None)
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if name and (max_depth == -1 or name.count(".") < max_depth)
    }
    traces = None if example_input is None else _try_trace(module, example_input, {"": module, **layers})
    rows = [_row(name, layer, traces) for name, layer in layers.items()]
    parameters = list(module.parameters())
    if layers:
        rows += _others(module, layers)
    return Summary(
        layers=tuple(rows),
        total_parameters=sum(map(count, parameters)),
        trainable_parameters=sum(count(one) for one in parameters if one.requires_grad),
        model_size=sum(one.numel() * one.element_size() for one in parameters if count(one)) / 1e6,
        modules_in_train_mode=sum(layer.training for layer in module.modules() if layer is not module),
        modules_in_eval_mode=sum(not layer.training for layer in module.modules() if layer is not module),
        total_flops=None if traces is None else traces[""].flops,
        has_sizes=traces is not None,
    )


def count(parameter: nn.Parameter) -> int:
    """Return the numbers in a parameter; none in one that has no shape yet."""
    return 0 if isinstance(parameter, UninitializedParameter) else parameter.numel()


def _try_trace(module: nn.Module, example_input: Any, names: dict[str, nn.Module]) -> dict[str, LayerTrace] | None:
    try:
        return trace_layers(module, example_input, names)
    except Exception as error:  # the user's forward may raise anything; a table is no reason to stop
        warnings.warn(
            f"The summary shows no sizes: forward failed for `example_input_array`: {type(error).__name__}: {error}. "
            "Correct the example, or set it to None.",
            stacklevel=3,
        )
        return None


def _row(name: str, layer: nn.Module, traces: dict[str, LayerTrace] | None) -> LayerSummary:
    trace = LayerTrace() if traces is None else traces[name]
    return LayerSummary(
        name=name,
        type=type(layer).__name__,
        parameters=sum(map(count, layer.parameters())),
        mode="train" if layer.training else "eval",
        in_size=trace.in_size,
        out_size=trace.out_size,
        flops=None if traces is None else trace.flops,
    )


def _others(module: nn.Module, layers: dict[str, nn.Module]) -> list[LayerSummary]:
    covered = {id(parameter) for layer in layers.values() for parameter in layer.parameters()}
    left = sum(count(parameter) for parameter in module.parameters() if id(parameter) not in covered)
    return [LayerSummary(OTHER_PARAMETERS, "n/a", left, "n/a")] if left else []
