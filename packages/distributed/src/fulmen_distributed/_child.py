"""What a process that the subprocess launcher started runs: the user's program, as another rank."""

from __future__ import annotations

import os
import runpy
import sys

from fulmen_distributed._crew import end_process, watch_parent
from fulmen_distributed._reports import Reports
from fulmen_distributed._variables import REPORTS

_OURS = (__file__, runpy.__file__, "<frozen runpy>")


def main() -> None:
    """Run the program that the command line names; why it fails is told to the launching process, which prints it."""
    watch_parent()
    kind, target, *arguments = sys.argv[1:]
    try:
        if kind == "script":
            sys.argv = [target, *arguments]
            if not getattr(sys.flags, "safe_path", False):
                sys.path[0] = os.path.dirname(target)
            runpy.run_path(target, run_name="__main__")
        else:
            sys.argv = [target, *arguments]
            runpy.run_module(target, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        end_process(130)
    except SystemExit as ending:
        if isinstance(ending.code, int) and ending.code:
            end_process(ending.code)
        raise
    except Exception as error:
        Reports(os.environ[REPORTS]).write_failure(int(os.environ["RANK"]), error, hide=_OURS)
        end_process(1)


if __name__ == "__main__":
    main()
