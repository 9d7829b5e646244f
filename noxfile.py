"""Everything that is checked here, as sessions. `nox -l` lists them; `nox` alone runs what gates a change.

The distributions are found by their pyproject.toml, so a new one is covered from its first commit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
CONSTRAINTS = ["-c", "tools/constraints.txt"]
WHEELS = Path("dist")
OUR_WHEELS = WHEELS / "constraints.txt"

BUILD_TOOLS = ["hatchling", "editables"]
SOURCES_ONLY = ["deepspeed", "fairscale"]
"""Published without wheels. Their set-up wants torch, which must be the one that is there: so we build them."""
BUILD_SOURCES = {"DS_BUILD_OPS": "0", "DS_ACCELERATOR": "cpu"}
"""DeepSpeed compiles nothing when it is built; what it needs it compiles when it is used."""
TEST_TOOLS = ["pytest", "pytest-xdist", "pytest-timeout", "hypothesis"]
LIBRARIES_OF_USERS = ["torchmetrics", "tqdm", "onnx", "onnxscript", "matplotlib", "scikit-learn"]
VENDOR_EXAMPLE = "integration_tests/vendor_example"
VENDOR_CARD = {"SIM_DEVICE": "1"}
"""Its device: in processes of its own, for torch shows it to everybody there."""
MINIMAL = ["fulmen-core", "fulmen-accelerator-cpu", "fulmen-strategy-single-device", "fulmen-precision"]


@dataclass(frozen=True)
class Distribution:
    """One folder below packages/ and what its pyproject.toml says."""

    folder: Path
    name: str
    requires: list[str]
    requires_for_tests: list[str]

    @classmethod
    def read(cls, file: Path) -> Distribution:
        """Read what the sessions need of one pyproject.toml."""
        data = nox.project.load_toml(file)
        project, groups = data["project"], data.get("dependency-groups", {})
        return cls(file.parent, project["name"], project["dependencies"], groups.get("test", []))

    @property
    def id(self) -> str:
        """Its place below packages/, the name of its unit session."""
        return self.folder.relative_to("packages").as_posix()


DISTRIBUTIONS = [Distribution.read(file) for file in sorted(Path("packages").glob("**/pyproject.toml"))]
BY_NAME = {distribution.name: distribution for distribution in DISTRIBUTIONS}
SOURCES = [str(distribution.folder / "src") for distribution in DISTRIBUTIONS]
UNITS = [nox.param(distribution, id=distribution.id) for distribution in DISTRIBUTIONS]


# ---------------------------------------------------------------- what gates a change


@nox.session(
    requires=[
        *["lint", "types", "layers"],
        *[f"unit({distribution.id})" for distribution in DISTRIBUTIONS],
        *["minimal", "integration", "build", "quickstart"],
    ],
    venv_backend="none",
)
def tests(session: nox.Session) -> None:
    """Everything that gates a change."""
    session.log(f"All of it passed, for {len(DISTRIBUTIONS)} distributions.")


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Style and likely bugs: ruff."""
    session.install(*CONSTRAINTS, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(reuse_venv=True, requires=["base", "wheels"])
def types(session: nox.Session) -> None:
    """Types of every package's sources and of the tooling: mypy --strict."""
    lend_base(session)
    required = {line for one in DISTRIBUTIONS for line in one.requires + one.requires_for_tests}
    foreign = {line for line in required if Requirement(line).name not in BY_NAME}
    install(session, "mypy", "nox", "import-linter", *sorted(foreign))
    session.run("mypy", "--strict", *SOURCES)
    tooling = ["noxfile.py", *sorted(glob("tools/*.py") + glob("tools/bench/*.py"))]
    session.run("mypy", "--strict", *tooling, env={"MYPYPATH": os.pathsep.join(SOURCES)})


@nox.session(reuse_venv=True)
def layers(session: nox.Session) -> None:
    """Who may import whom: import-linter, with the contracts that tools/layers.toml stands for."""
    session.install(*CONSTRAINTS, "import-linter")
    session.run("python", "tools/layers.py", env={"PYTHONPATH": os.pathsep.join(SOURCES)})


@nox.session(requires=["base", "wheels"])
@nox.parametrize("package", UNITS)
def unit(session: nox.Session, package: Distribution) -> None:
    """One package's own tests, with nothing installed but its own requirements."""
    if needs_torch(package.requires + package.requires_for_tests):
        lend_base(session)
    install(session, package.name, *package.requires_for_tests, *TEST_TOOLS)
    pytest(session, package.folder / "tests")


@nox.session(requires=["base", "wheels"])
def minimal(session: nox.Session) -> None:
    """Training with the core, one accelerator, one strategy and precision, and nothing else."""
    lend_base(session)
    install(session, *MINIMAL)
    pytest(session, "integration_tests/minimal")


@nox.session(requires=["base", "wheels"])
def integration(session: nox.Session) -> None:
    """Behaviour that needs several packages, with all of them installed."""
    lend_base(session)
    install(session, *BY_NAME, *BUILD_TOOLS, *LIBRARIES_OF_USERS)
    ignored = ["integration_tests/minimal", VENDOR_EXAMPLE]
    pytest(session, "integration_tests", *[f"--ignore={folder}" for folder in ignored])
    install_vendor_example(session)
    pytest(session, VENDOR_EXAMPLE, **VENDOR_CARD)


@nox.session(requires=["wheels"])
def build(session: nox.Session) -> None:
    """The wheels, in an environment that never saw this tree: they fit together, import and train."""
    install(session, *BY_NAME)
    session.run("pip", "check")
    with session.chdir(session.create_tmp()):
        session.run("python", ROOT / "tools" / "check_installed.py", *BY_NAME)
        session.run("python", ROOT / "integration_tests" / "smoke.py")


@nox.session(requires=["wheels"])
def quickstart(session: nox.Session) -> None:
    """The program of the README: it trains a real model."""
    install(session, "fulmen", "scikit-learn", "matplotlib")
    session.run("python", "docs/quickstart.py")


# ---------------------------------------------------------------- on demand


@nox.session(reuse_venv=True)
def dev(session: nox.Session) -> None:
    """An environment to work in: all tools, and every distribution editable. `source .nox/dev/bin/activate`."""
    session.install(*CONSTRAINTS, "nox", "ruff", "mypy", "import-linter", *BUILD_TOOLS, *TEST_TOOLS)
    session.install(*CONSTRAINTS, "torch", "setuptools", "wheel")  # first: others are built with them
    editable = [part for distribution in DISTRIBUTIONS for part in ("-e", str(distribution.folder))]
    session.install(*CONSTRAINTS, "--no-build-isolation", *editable, env=BUILD_SOURCES)


@nox.session(requires=["base", "wheels"])
def conformance(session: nox.Session) -> None:
    """What every plugin is asked: all of ours that are installed, and an accelerator from outside."""
    lend_base(session)
    for_tests = {line for one in DISTRIBUTIONS for line in one.requires_for_tests}
    install(session, *BY_NAME, *BUILD_TOOLS, *LIBRARIES_OF_USERS, *sorted(for_tests))
    folders = [distribution.folder for distribution in DISTRIBUTIONS if distribution.name != "fulmen-testing"]
    files = [file for folder in folders for file in folder.glob("tests/**/*.py") if "Conformance" in file.read_text()]
    only = {"PYTHONPATH": "tools"}
    pytest(session, *sorted(files), "-p", "conformance", "--every-plugin", **only)
    install_vendor_example(session)
    pytest(session, VENDOR_EXAMPLE, "-p", "conformance", **only, **VENDOR_CARD)


@nox.session(requires=["base", "wheels"])
def long(session: nox.Session) -> None:
    """Runs that are killed by the hundred, and checkpoints of every strategy under every other."""
    lend_base(session)
    install(session, *BY_NAME)
    elsewhere = ["integration_tests/matrix", VENDOR_EXAMPLE]
    pytest(session, "integration_tests", *[f"--ignore={folder}" for folder in elsewhere], "-m", "long")


@nox.session(python="3.10", requires=["wheels"])
def lowest(session: nox.Session) -> None:
    """The oldest Python, torch and libraries that are promised. pip's torch brings gigabytes of CUDA."""
    tested = [one for one in DISTRIBUTIONS if one.name in brought_by("fulmen") and one.id != "strategies/fsdp"]
    for_tests = {line for one in tested for line in one.requires_for_tests}
    oldest = WHEELS / "lowest.txt"
    oldest.write_text("".join(sorted(lower_bounds(line for one in tested for line in one.requires))))
    session.install("-c", str(oldest), "-c", str(OUR_WHEELS), "fulmen", *sorted(for_tests), *TEST_TOOLS)
    for one in tested:  # but FSDP, for which torch 2.6 needs a GPU
        pytest(session, one.folder / "tests")


@nox.session(requires=["base", "wheels"])
@nox.parametrize("backend", ["cpu", "cuda", "mps", "sim"])
def matrix(session: nox.Session, backend: str) -> None:
    """Every strategy in every precision on every number of devices, beside a plain loop; writes docs/matrix.md."""
    lend_base(session)
    install(session, *BY_NAME, "./integration_tests/vendor_example")
    env = {"FULMEN_MATRIX": backend, "OMP_NUM_THREADS": "1", **({"SIM_DEVICE": "1"} if backend == "sim" else {})}
    reason = session.run("python", "integration_tests/matrix/matrix_probes.py", backend, silent=True, env=env)
    if reason and reason.strip():
        session.skip(reason.strip())
    # One program at a time: a cell has all processors, and tests run one after another.
    session.run(
        "python", "-m", "pytest", "-n", "0", "integration_tests/matrix", "-m", "long", *session.posargs, env=env
    )


@nox.session(requires=["base", "wheels"])
def bench(session: nox.Session) -> None:
    """What a step costs, beside a plain loop and beside Lightning."""
    lend_base(session)
    install(session, "fulmen", "lightning")
    session.run("python", "tools/bench/step.py", *session.posargs)


# ---------------------------------------------------------------- what other sessions stand on


@nox.session(reuse_venv=True)
def base(session: nox.Session) -> None:
    """The one torch (and test tools) that all but the cleanest environments share: it is large."""
    session.install(*CONSTRAINTS, "torch", *TEST_TOOLS)


@nox.session(reuse_venv=True, requires=["base"])
def wheels(session: nox.Session) -> None:
    """A wheel of every distribution, and constraints that make pip take these and no others."""
    lend_base(session)
    session.install(*CONSTRAINTS, *BUILD_TOOLS, "setuptools", "wheel")
    shutil.rmtree(WHEELS, ignore_errors=True)
    folders = [str(distribution.folder) for distribution in DISTRIBUTIONS]
    build = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(WHEELS)]
    session.run(*build, *folders)
    session.run(*build, *CONSTRAINTS, *SOURCES_ONLY, env=BUILD_SOURCES)
    pins = [f"{file.name.partition('-')[0]} @ {file.resolve().as_uri()}\n" for file in WHEELS.glob("*.whl")]
    OUR_WHEELS.write_text("".join(sorted(pins)))


def needs_torch(requirements: list[str]) -> bool:
    """Whether torch is among the requirements, or among those of our distributions that are."""
    names = [Requirement(line).name for line in requirements]
    return "torch" in names or any(needs_torch(BY_NAME[name].requires) for name in names if name in BY_NAME)


def brought_by(name: str) -> set[str]:
    """The distributions of ours that come with one of them, itself included."""
    required = {Requirement(line).name for line in BY_NAME[name].requires} & BY_NAME.keys()
    return {name}.union(*map(brought_by, required))


def lower_bounds(requirements: Iterable[str]) -> set[str]:
    """Constraints to the oldest versions that requirements of others' distributions allow."""
    parsed = [Requirement(line) for line in requirements]
    return {
        f"{one.name}=={bound.version}\n"
        for one in parsed
        if one.name not in BY_NAME
        for bound in one.specifier
        if bound.operator == ">="
    }


def lend_base(session: nox.Session) -> None:
    """Let this environment see what is installed in `base`. What it installs itself comes first."""
    command = ["python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(str(session.run(*command, silent=True)).strip())
    home = Path(session.virtualenv.location).resolve()
    (own / "base.pth").write_text(f"{home.parent / 'base' / own.relative_to(home)}\n")


def install(session: nox.Session, *requirements: str) -> None:
    """Install distributions of ours, as wheels of this tree, and what else is named."""
    session.install(*CONSTRAINTS, "-c", str(OUR_WHEELS), *requirements)


def install_vendor_example(session: nox.Session) -> None:
    """Install the accelerator from outside, as its users would: by pip, from its own folder."""
    install(session, "--no-build-isolation", f"./{VENDOR_EXAMPLE}")


def pytest(session: nox.Session, *args: str | Path, **environment: str) -> None:
    """Run tests on two workers with one thread each. No test at all is a failure (pytest's exit code 5)."""
    one_thread = {"OMP_NUM_THREADS": "1"}
    session.run("python", "-m", "pytest", "-n", "2", *args, *session.posargs, env=one_thread | environment)
