"""The device type `sim`: its tensors, and how operations on them are run.

A tensor of `sim` has a storage of its own kind over memory of the host. Every operation that reaches the device comes
to `Device.run`, which lends a host's view of that memory to torch's CPU kernels. The host itself never sees through: to
its own operations a `sim` tensor is one of another device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch._C import DispatchKey, DispatchKeySet
from torch.utils._pytree import tree_map

from acme_torch._memory import Block, SimMemory
from acme_torch._streams import SimStreams

NAME = "sim"
aten = torch.ops.aten

_CPU = DispatchKeySet(DispatchKey.CPU)
_SET_ON_HOST = aten.set_.source_Storage_storage_offset
# Operations that torch asks of a device in other words than of the CPU.
OTHER_WORDS: dict[Any, Callable[..., Any]] = {
    aten.convolution_overrideable.default: aten.convolution,
    aten.convolution_backward_overrideable.default: lambda gradient, x, weight, *options: aten.convolution_backward(
        gradient, x, weight, [weight.shape[0]], *options
    ),
    aten._fused_sdp_choice.default: lambda *args, **kwargs: 0,  # attention is made of plain operations
}
_STORAGE_CHANGES = {aten.set_.source_Storage, aten.set_.source_Storage_storage_offset, aten.set_.source_Tensor}
_TAKES_HOST_INDICES = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}


class Device:
    """The one device of a process."""

    def __init__(self) -> None:
        self.memory = SimMemory()
        self.streams = SimStreams()
        self.random = torch.Generator()
        self.libraries: list[torch.library.Library] = []
        """What torch was told; it holds as long as they exist."""
        self.operations = 0
        self.host_reads = 0
        """How often the host asked for values: on real hardware it waits for all that was issued before."""

    # -- tensors -------------------------------------------------------------------------------------------------------

    def new_storage(self, host: Any) -> Any:
        """Return a storage of the device over a storage of the host, which it keeps."""
        where = torch.device(NAME, 0)
        storage: Any = torch._C._construct_storage_from_data_pointer(host.data_ptr(), where, host.nbytes())
        storage.host = host
        storage.__deepcopy__ = lambda memo: self.new_storage(host.clone())  # torch would need an allocator in C++
        storage.block = Block(self.memory, host.nbytes(), of_copy_stream=self.streams.copying)
        return storage

    def run(self, op: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one operation. Called by torch, below autograd."""
        self.operations += 1
        if torch.is_inference_mode_enabled():  # a view of a weight must remain an ordinary tensor there
            with torch.inference_mode(False):
                return self._run(op, *args, **kwargs)
        return self._run(op, *args, **kwargs)

    def _run(self, op: Any, *args: Any, **kwargs: Any) -> Any:
        if op is aten._copy_from.default:
            return self._copy(*args[:2])
        if op in _STORAGE_CHANGES:
            return op.redispatch(_CPU, *args, **kwargs)
        self.host_reads += op is aten._local_scalar_dense.default
        call = Call(self, op)
        outputs = {name: call.result_for(kwargs.pop(name)) for name in names_of_outputs(op) if name in kwargs}
        host_args, host_kwargs = tree_map(call.to_host, (args, kwargs))
        result = self._on_host(op, host_args, host_kwargs | outputs)
        call.finish()
        return tree_map(call.to_device, result)

    def _on_host(self, op: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation on the host. Random numbers are the device's own."""
        kernel = OTHER_WORDS.get(op, op)
        if torch.Tag.nondeterministic_seeded not in op.tags:
            return kernel(*args, **kwargs)
        state = torch.get_rng_state()
        torch.set_rng_state(self.random.get_state())
        try:
            return kernel(*args, **kwargs)
        finally:
            self.random.set_state(torch.get_rng_state())
            torch.set_rng_state(state)

    def _copy(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.host_reads += target.device.type != NAME
        self.streams.copy(self.host_view(target), self.host_view(source))
        return target

    def host_view(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor, or a tensor of the host over the memory of one of the device."""
        if tensor.device.type != NAME:
            return tensor
        storage: Any = tensor.untyped_storage()
        storage.block.used_by_computing |= not self.streams.copying
        view = torch.empty(0, dtype=tensor.dtype)
        return view.set_(storage.host, tensor.storage_offset(), tensor.size(), tensor.stride())


class Call:
    """One operation under way: which memory of the host belongs to which storage of the device."""

    def __init__(self, owner: Device, op: Any) -> None:
        self._owner = owner
        self._op = op
        self._storages: dict[int, Any] = {}
        self._lent: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._results: list[tuple[torch.Tensor, torch.Tensor]] = []

    def result_for(self, output: torch.Tensor) -> torch.Tensor:
        """Return a new tensor of the host, for a kernel to fill in place of one of the device."""
        result = torch.empty(0, dtype=output.dtype)
        self._results.append((result, output))
        return result

    def to_host(self, value: Any) -> Any:
        """Return an argument as the host's kernel gets it."""
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if not isinstance(value, torch.Tensor):
            return value
        if value.device.type != NAME:
            if value.dim() == 0 or self._op in _TAKES_HOST_INDICES:
                return value
            raise RuntimeError(
                f"{self._op}: Expected all tensors to be on the same device, but found at least two devices, "
                f"{NAME}:0 and {value.device}!"
            )
        view = self._owner.host_view(value)
        storage: Any = value.untyped_storage()
        self._storages[storage.host._cdata] = storage
        self._lent.append((view, value))
        return view

    def finish(self) -> None:
        """Let tensors of the device follow what the operation did to their shape or memory."""
        for result, output in self._results:
            if result.size() == output.size():
                self._owner.host_view(output).copy_(result)
            else:
                self._attach(output, result)
        for view, tensor in self._lent:
            if view.untyped_storage().nbytes() != tensor.untyped_storage().nbytes():  # it was resized
                self._storages.pop(view.untyped_storage()._cdata, None)
            elif (view.size(), view.stride()) == (tensor.size(), tensor.stride()):
                continue
            self._attach(tensor, view)

    def to_device(self, value: Any) -> Any:
        """Return a result as the caller gets it: an argument itself, a view of its memory, or a new tensor."""
        if not isinstance(value, torch.Tensor):
            return value
        for ours, theirs in (*self._lent, *self._results):
            if value is ours:
                return theirs
        made = torch._C._acc.create_empty_tensor((0,), value.dtype)
        self._attach(made, value)
        return made

    def _attach(self, tensor: torch.Tensor, view: torch.Tensor) -> None:
        host = view.untyped_storage()
        storage = self._storages.get(host._cdata)
        if storage is None:
            storage = self._storages[host._cdata] = self._owner.new_storage(host)
        _SET_ON_HOST.redispatch(_CPU, tensor, storage, view.storage_offset(), view.size(), view.stride())


@cache
def names_of_outputs(op: Any) -> tuple[str, ...]:
    """Return the arguments into which an operation writes its results."""
    return tuple(argument.name for argument in op._schema.arguments if argument.is_out)
