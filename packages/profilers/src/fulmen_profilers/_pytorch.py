"""The PyTorch profiler: which operators and kernels a few batches consist of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import nn
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, supported_activities
from torch.profiler import profile as TorchProfile

from fulmen_profilers._base import UNMEASURED, SpanProfiler, not_running
from fulmen_profilers._files import writing
from fulmen_profilers._recording import NvtxRanges, Recording, TorchRecording
from fulmen_profilers._torch_settings import check_settings


class PyTorchProfiler(SpanProfiler):
    """Records operators and kernels with `torch.profiler`: a table, and a trace for Perfetto or TensorBoard.

    A schedule says which batches are recorded: by default the third to the fifth, once. Give another as
    `schedule=torch.profiler.schedule(...)`, or `schedule=None` to record the whole run, which takes much memory. In a
    fit it counts training batches; a validation that falls between two recorded batches is recorded with them.

    Args:
        dirpath: folder of the files; without it the run's `log_dir`.
        filename: middle part of their names: `fit-<filename>-0.txt` for the table, and for the first trace
            `fit-<filename>-0.1.pt.trace.json`. Without both the table is printed.
        group_by_input_shapes: a row for each combination of input shapes; records shapes.
        emit_nvtx: record nothing here, but let every operator and action be an NVTX range, for `nsys profile`.
        export_to_chrome: write a trace each time that the schedule has completed a cycle.
        row_limit: rows of the table; -1 for all.
        sort_by_key: column that the table is sorted by, such as "self_cpu_memory_usage". By default the total time on
            the device, or on the CPU where there is no other.
        record_module_names: let the forward pass of each part of the model be a span.
        table_kwargs: further arguments of the table, such as `max_name_column_width`.
        all_ranks: record and report on every rank, not on rank zero alone.
        **profiler_kwargs: arguments of `torch.profiler.profile`, such as `profile_memory=True`. With `on_trace_ready`
            that function is called instead of writing traces.
    """

    default_filename = "pytorch"

    def __init__(  # noqa: PLR0913 - the arguments are those that users know
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        group_by_input_shapes: bool = False,
        emit_nvtx: bool = False,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        record_module_names: bool = True,
        table_kwargs: Mapping[str, Any] | None = None,
        *,
        all_ranks: bool = False,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename, all_ranks=all_ranks)
        self.group_by_input_shapes = group_by_input_shapes
        self.emit_nvtx = emit_nvtx
        self.export_to_chrome = export_to_chrome
        self.row_limit = row_limit
        self.sort_by_key = sort_by_key
        self.record_module_names = record_module_names
        self.table_kwargs = dict(table_kwargs or {})
        self.profiler_kwargs = profiler_kwargs
        self.traces: list[str] = []
        """The traces that were written, in order."""
        self._recording: Recording | None = None
        self._running: list[tuple[str, record_function]] = []
        self._table = ""
        check_settings(profiler_kwargs, sort_by_key, self.table_kwargs)

    def profile(self, action: str) -> AbstractContextManager[None]:
        """Return a context that is a span of the trace; it costs nothing while no batch is recorded."""
        recording = self._recording
        return record_function(action) if recording is not None and recording.records else UNMEASURED

    def attach(self, module: nn.Module) -> None:
        """Take the module whose parts are to be spans."""
        if self._recording is not None and self.record_module_names:
            self._recording.watch(module)

    def step(self) -> None:
        if self._recording is not None:
            self._recording.step()

    def summary(self) -> str:
        if self._table or self._recording is None or self.emit_nvtx:
            return self._table
        return (
            f"PyTorchProfiler recorded nothing: the run ended after {self._recording.batches} batches, before its "
            "schedule came to record. Give one that begins earlier, such as "
            "`schedule=torch.profiler.schedule(wait=0, warmup=1, active=1)`, or `schedule=None` for the whole run."
        )

    def describe(self) -> None:
        """Complete what is being recorded, and print the table or write it to its file."""
        if self._recording is not None:
            self._recording.close()
        super().describe()

    def _start(self, action: str) -> None:
        span = record_function(action)
        span.__enter__()  # type: ignore[no-untyped-call]
        self._running.append((action, span))

    def _stop(self, action: str) -> None:
        for index in reversed(range(len(self._running))):
            if self._running[index][0] == action:
                self._running.pop(index)[1].__exit__(None, None, None)
                return
        raise not_running(action, [name for name, _ in self._running])

    def _begin(self) -> None:
        self._table, self._running = "", []
        shapes = self.group_by_input_shapes or bool(self.profiler_kwargs.get("record_shapes"))
        if self.emit_nvtx:
            self._recording = NvtxRanges(record_shapes=shapes)
        else:
            self._recording = TorchRecording({**self.profiler_kwargs, "record_shapes": shapes}, self._recorded)

    def _end(self) -> None:
        if self._recording is not None:
            self._recording.close()
            self._table = self.summary()
            self._recording = None

    def _recorded(self, recorded: TorchProfile) -> None:
        """Take what one cycle of the schedule has recorded."""
        averages = recorded.key_averages(group_by_input_shape=self.group_by_input_shapes)
        table = averages.table(sort_by=self._sort_by(), row_limit=self.row_limit, **self.table_kwargs)
        rank = f", rank {self._rank}" if self._rank else ""
        lines = [f"Where the time went in {self._stage}{rank}, by operator", "", table.strip("\n")]
        handler = self.profiler_kwargs.get("on_trace_ready")
        if handler is not None:
            handler(recorded)
        elif self.export_to_chrome:
            lines += ["", f"Trace, for ui.perfetto.dev or TensorBoard: {self._export(recorded)}"]
        self._table = "\n".join(lines)

    def _export(self, recorded: TorchProfile) -> str:
        path = self.path(f".{len(self.traces) + 1}.pt.trace.json")
        with writing(path) as local:
            recorded.export_chrome_trace(local)
        self.traces.append(path)
        return path

    def _sort_by(self) -> str:
        if self.sort_by_key is not None:
            return self.sort_by_key
        activities = self.profiler_kwargs.get("activities") or supported_activities()  # type: ignore[no-untyped-call]
        return "cpu_time_total" if all(one == ProfilerActivity.CPU for one in activities) else "device_time_total"
