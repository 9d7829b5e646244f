"""Starting processes that run one function: by spawn or by fork."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, final

import torch

from fulmen_distributed._crew import Crew, Worker, end_as_asked, end_process, fail
from fulmen_distributed._parent import watch_parent
from fulmen_distributed._process_group import keep_store, part, store_at
from fulmen_distributed._reports import Reports
from fulmen_distributed._subprocess import SubprocessLauncher, has_program
from fulmen_distributed._variables import REPORTS, meeting_point, threads_for, variables_of, worlds_here
from fulmen_interfaces import ConfigurationError, LaunchSettings, Problem, World

R = TypeVar("R")

_GRACE_SECONDS = 10.0


@final
class MultiprocessingLauncher:
    """Runs the function in new processes; the calling process waits and computes nothing itself.

    With `spawn` and `forkserver` everything that the function holds must be picklable. With `fork` nothing needs to be,
    but CUDA and threads of this process must not be in use yet. What rank zero returns is pickled and comes back; on
    another machine, what the first rank there returns.
    """

    def __init__(self, start_method: Literal["spawn", "fork", "forkserver"]) -> None:
        self._start_method = start_method

    @property
    def interactive(self) -> bool:
        """It needs no script."""
        return True

    def launch(self, main: Callable[[World], R], settings: LaunchSettings) -> R:
        """Run `main` in every process; return the first one's result, or raise the first failing rank's error."""
        if has_program():  # it runs in several processes since an earlier run, and all of them have come here
            return SubprocessLauncher().launch(main, settings)
        payload = self._payload(main)
        # No store is begun here: its thread would be at work while processes are forked.
        listener = socket.create_server(("127.0.0.1", 0)) if settings.num_nodes == 1 else None
        address, port = meeting_point() if listener is None else listener.getsockname()
        with tempfile.TemporaryDirectory(prefix="fulmen-") as folder:
            crew = Crew([], Reports(folder))
            try:
                for world in worlds_here(settings):
                    told = variables_of(world, per_node=settings.processes_per_node, address=address, port=port)
                    here = listener if world.is_global_zero else None
                    crew.add(self._started(_Task(payload, world, told, self._threads(settings), crew.reports, here)))
                if listener is not None:
                    listener.close()  # now it is rank zero's
                with _passing_on_sigterm(crew):
                    _wait(crew)
            finally:
                crew.end()
            result: R = crew.reports.result()
            return result

    def _threads(self, settings: LaunchSettings) -> int:
        # Threads of OpenMP do not survive a fork: a forked process that counts on several would wait for ever.
        return 1 if self._start_method == "fork" else threads_for(settings.processes_per_node)

    def _started(self, task: _Task) -> Worker:
        context: Any = multiprocessing.get_context(self._start_method)
        process = context.Process(target=_work, args=(task,))
        process.start()
        return Worker(task.world.rank, lambda: process.exitcode, process.terminate, process.kill)

    def _payload(self, main: Callable[[World], R]) -> Any:
        if self._start_method == "fork":
            return main
        try:
            return pickle.dumps(main)
        except Exception as error:
            reason = f"New processes get model and data pickled, which failed: {type(error).__name__}: {error}."
            remedy = "Define classes and functions at the top of a module, or use 'ddp' or 'ddp_fork'."
            raise ConfigurationError([Problem("strategy", "ddp_spawn", reason, remedy)]) from error


@dataclass(frozen=True)
class _Task:
    """What one new process is given."""

    payload: Any
    """The function, pickled where it has to be."""
    world: World
    told: Mapping[str, str]
    threads: int
    reports: Reports
    listener: socket.socket | None
    """Where the others will look for rank zero; None: it opens a port itself, or it is another's."""


def _work(task: _Task) -> None:
    """Be one rank."""
    watch_parent()
    sys.last_value = None  # an error that a forking prompt has seen is none of this process'
    os.environ.update({**task.told, REPORTS: str(task.reports.folder)})
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(task.threads)
    try:
        if task.listener is not None:
            keep_store(store_at(task.listener))
        main = pickle.loads(task.payload) if isinstance(task.payload, bytes) else task.payload
        result = main(task.world)
        if task.world.is_local_zero:
            task.reports.write_result(result)
        task.reports.write_end(task.world.rank)
        part()
    except KeyboardInterrupt:
        end_process(130)
    except SystemExit as ending:
        end_as_asked(ending)
    except BaseException as error:
        fail(task.reports, task.world.rank, error, hide=(__file__,))


def _wait(crew: Crew) -> None:
    """Return when all have done their work; raise the cause where one has failed."""
    try:
        crew.wait(stop_at_failure=True)
    except KeyboardInterrupt:
        crew.wait(_GRACE_SECONDS)  # Ctrl-C reached them, too: they end in order
        raise
    if crew.failed:
        cause = crew.cause_of()
        if cause is not None:
            raise cause


@contextmanager
def _passing_on_sigterm(crew: Crew) -> Iterator[None]:
    """Inside, SIGTERM ends the processes in order, and with them the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: crew.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
