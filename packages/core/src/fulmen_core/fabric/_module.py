"""The model as Fabric hands it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from inspect import ismethod
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from fulmen_core.fabric._entry import FORWARD
from fulmen_core.fabric._model import SetUpModel
from fulmen_interfaces import ConfigurationError, ModuleError, Problem

_STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class FabricModule(nn.Module):
    """A model that runs through strategy and precision when it is called.

    So do its `training_step`, `validation_step`, `test_step` and `predict_step`, and every method that
    `mark_forward_method` names. Everything else, parameters, state and attributes with their names, is that of the
    user's module, which is `module`.
    """

    def __init__(self, model: SetUpModel) -> None:
        super().__init__()
        del self.__dict__["training"]  # the mode is that of the user's module
        self.__dict__["set_up"] = model
        self.__dict__["forward_methods"] = set(_STEPS)

    @property
    def module(self) -> nn.Module:
        """The user's module."""
        return self.set_up_model.module

    @property
    def set_up_model(self) -> SetUpModel:
        """What the strategy made of it."""
        model: SetUpModel = self.__dict__["set_up"]
        return model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the user's module."""
        return self.set_up_model.run(FORWARD, args, kwargs)

    def mark_forward_method(self, method: str | Callable[..., Any]) -> None:
        """Let another method of the module run through strategy and precision, too, when it is called on this object.

        It is needed for methods that compute with the module's weights. Raises ConfigurationError for what is none of
        its methods.
        """
        name = method if isinstance(method, str) else getattr(method, "__name__", repr(method))
        if name == FORWARD:
            reason, remedy = "It is one anyway.", "Leave the call out."
            raise ConfigurationError([Problem("method", method, reason, remedy)])
        if not callable(getattr(self.module, name, None)):
            reason = f"{type(self.module).__name__} has no method {name!r}."
            raise ConfigurationError([Problem("method", method, reason, "Give a method's name, or the method.")])
        self.__dict__["forward_methods"].add(name)

    # -- the user's module, under its own names ------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if "set_up" not in self.__dict__:
            raise AttributeError(name)
        model = self.set_up_model
        value = getattr(model.module, name)
        if name in self.__dict__["forward_methods"] and callable(value):
            return wraps(value)(partial(_run, model, name))
        if ismethod(value) and value.__self__ is model.module and model.is_wrapped:
            return _guarded(value, model)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if "set_up" in self.__dict__:
            setattr(self.module, name, value)
        else:
            super().__setattr__(name, value)

    def train(self, mode: bool = True) -> FabricModule:
        """Set the user's module to training or evaluation mode."""
        self.module.train(mode)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the user's module in place."""
        self.module.compile(*args, **kwargs)

    def apply(self, fn: Callable[[nn.Module], None]) -> FabricModule:
        """Apply a function to the user's module and all of its submodules."""
        self.module.apply(fn)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the state of the user's module."""
        state: dict[str, Any] = self.module.state_dict(*args, **kwargs)
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the state of the user's module."""
        return self.module.load_state_dict(state_dict, strict=strict, assign=assign)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Return the parameters of the user's module, by its own names."""
        return self.module.named_parameters(*args, **kwargs)

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, torch.Tensor]]:
        """Return the buffers of the user's module, by its own names."""
        return self.module.named_buffers(*args, **kwargs)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Return the direct submodules of the user's module."""
        return self.module.named_children()

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:
        """Return the user's module and all of its submodules."""
        modules: Iterator[tuple[str, nn.Module]] = self.module.named_modules(*args, **kwargs)
        return modules

    def _apply(self, fn: Any, recurse: bool = True) -> FabricModule:
        self.module._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """A copy, or what is unpickled, is the user's module: processes and wrappers stay behind."""
        return _itself, (self.module,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.module!r})"


def _itself(module: nn.Module) -> nn.Module:
    return module


def _run(model: SetUpModel, method: str, *args: Any, **kwargs: Any) -> Any:
    return model.run(method, args, kwargs)


def _guarded(method: Callable[..., Any], model: SetUpModel) -> Callable[..., Any]:
    """Return the method, which fails where it computes with the module past the strategy: nothing would be shared."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        name, owner = method.__name__, type(model.module).__name__

        def refuse(module: nn.Module, inputs: Any) -> None:
            raise ModuleError(
                f"`{owner}.{name}` computes with the module, but is no method that runs through the strategy "
                f"{model.session.strategy.spec.name!r}: gradients would stay on this process. "
                f"Call `model.mark_forward_method({name!r})` once after `fabric.setup`."
            )

        handles: list[RemovableHandle] = [
            part.register_forward_pre_hook(refuse) for part in model.module.modules() if model.is_wrapped
        ]
        try:
            return method(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()

    return call
