"""Starting processes that run one function: by spawn or by fork."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, final

import torch

from fulmen_distributed._crew import Crew, Worker, end_process, watch_parent
from fulmen_distributed._process_group import part
from fulmen_distributed._reports import Reports
from fulmen_distributed._variables import meeting_point, threads_for, variables_of, worlds_here
from fulmen_interfaces import ConfigurationError, LaunchSettings, Problem, World

R = TypeVar("R")

_GRACE_SECONDS = 10.0


@final
class MultiprocessingLauncher:
    """Runs the function in new processes; the calling process waits and computes nothing itself.

    With `spawn` everything that the function holds must be picklable. With `fork` nothing needs to be, but CUDA and
    threads of this process must not be in use yet. What rank zero returns comes back, and must be picklable.
    """

    def __init__(self, start_method: Literal["spawn", "fork"]) -> None:
        self._start_method = start_method

    @property
    def interactive(self) -> bool:
        """It needs no script."""
        return True

    def launch(self, main: Callable[[World], R], settings: LaunchSettings) -> R:
        """Run `main` in every process; return rank zero's result, or raise the first failing rank's error."""
        payload = self._payload(main)
        address, port = meeting_point(settings)
        context: Any = multiprocessing.get_context(self._start_method)
        # Threads of OpenMP do not survive a fork: a forked process that counts on several would wait for ever.
        threads = 1 if self._start_method == "fork" else threads_for(settings.processes_per_node)
        with tempfile.TemporaryDirectory(prefix="fulmen-") as folder:
            reports = Reports(folder)
            workers = []
            for world in worlds_here(settings):
                told = variables_of(world, per_node=settings.processes_per_node, address=address, port=port)
                process = context.Process(target=_work, args=(payload, world, told, threads, reports))
                process.start()
                workers.append(_worker(world.rank, process))
            crew = Crew(workers, reports)
            with _passing_on_sigterm(crew):
                _wait(crew)
            result: R = reports.result()
            return result

    def _payload(self, main: Callable[[World], R]) -> Any:
        if self._start_method == "fork":
            return main
        try:
            return pickle.dumps(main)
        except Exception as error:
            reason = f"New processes get model and data pickled, which failed: {type(error).__name__}: {error}."
            remedy = "Define classes and functions at the top of a module, or use 'ddp' or 'ddp_fork'."
            raise ConfigurationError([Problem("strategy", "ddp_spawn", reason, remedy)]) from error


def _work(payload: Any, world: World, told: Mapping[str, str], threads: int, reports: Reports) -> None:
    """Be one rank."""
    watch_parent()
    os.environ.update(told)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    try:
        main = pickle.loads(payload) if isinstance(payload, bytes) else payload
        result = main(world)
        if world.is_global_zero:
            reports.write_result(result)
        part()
    except KeyboardInterrupt:
        end_process(130)
    except SystemExit as ending:
        end_process(ending.code if isinstance(ending.code, int) else 1)
    except Exception as error:
        reports.write_failure(world.rank, error, hide=(__file__,))
        end_process(1)


def _worker(rank: int, process: Any) -> Worker:
    return Worker(rank, lambda: process.exitcode, process.terminate, process.kill)


def _wait(crew: Crew) -> None:
    """Return when all have done their work; raise the cause where one has failed."""
    try:
        crew.wait(stop_at_failure=True)
    except KeyboardInterrupt:
        crew.wait(_GRACE_SECONDS)  # Ctrl-C reached them, too: they end in order
        crew.end()
        raise
    if crew.failed:
        cause = crew.cause_of()
        crew.end()
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
