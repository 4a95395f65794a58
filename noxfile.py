# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check and every suite of tests as a session: `tools/nox --list` names them, the Makefile groups them.

antsibull-nox adds those of antsibull-nox.toml, each in an environment of its own. The others share one environment for
each tool family, .venvs/FAMILY, with the exact versions of requirements/FAMILY.txt.
"""

from __future__ import annotations

import fcntl
import functools
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import antsibull_nox
import nox
from uv import find_uv_bin

sys.path.insert(0, str(Path(__file__).parent))

from tools import tests_with_ansible, tree
from tools.summary import CPU_FILE

VENVS = tree.ROOT / ".venvs"
FAMILIES = sorted({path.stem for path in (tree.ROOT / "requirements").glob("*.in")} - {"nox"})
TIMED_OUT = 124  # the status of timeout
CLEAN_UP = 60  # seconds that a command which must end gets for it, for example to stop its hosts

nox.options.envdir = str(VENVS)
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.allow_parallel = True

os.environ.update(tree.uv_settings(), UV_COMPILE_BYTECODE="1", UV_PYTHON_DOWNLOADS="never")
if not sys.stdout.isatty():
    os.environ.update(NO_COLOR="1", PY_COLORS="0", ANSIBLE_NOCOLOR="1")
# Whoever ends nox ends what it started too: a KeyboardInterrupt is what nox passes on.
signal.signal(signal.SIGTERM, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.default_int_handler)

antsibull_nox.load_antsibull_nox_toml()


def check(name: str, *, alone: bool = False) -> t.Callable[[t.Callable[[nox.Session], None]], t.Any]:
    """Make a session. ``alone``: nothing runs beside it, because it measures time."""

    def decorate(body: t.Callable[[nox.Session], None]) -> t.Any:
        @functools.wraps(body)
        def with_empty_results(session: nox.Session) -> None:
            shutil.rmtree(results(session), ignore_errors=True)
            results(session).mkdir(parents=True)
            before = cpu_seconds()
            try:
                body(session)
            finally:
                used = cpu_seconds() - before + end_forks(session)
                (results(session) / CPU_FILE).write_text(f"{used:.1f}\n")

        return nox.session(name=name, python=False, default=False, allow_parallel=not alone)(with_empty_results)

    return decorate


def cpu_seconds() -> float:
    """The CPU time of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def results(session: nox.Session) -> Path:
    """The folder for the JUnit files of a session, which tools/summary.py counts."""
    return tree.BUILD / "results" / str(session.name)


# ---- environments


@functools.cache
def find_python(*versions: str) -> str:
    """The path of the first of these Python versions that runs, or nothing."""
    found = subprocess.run([tree.ROOT / "tools/find-python", *versions], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def python_for(session: nox.Session, family: str) -> str:
    """The interpreter of a tool family."""
    # ansible-core 2.16 runs on no newer Python.
    older = {"compat": ("3.12", "3.11", "3.10"), "oldest": ("3.12", "3.11", "3.10"), "python39": ("3.9",)}
    versions = older.get(family, ("3.13", "3.14", "3.12"))
    return find_python(*versions) or session.error(
        f"{family}: none of Python {', '.join(versions)} was found that runs"
    )


def python_version(session: nox.Session, family: str) -> str:
    """The version of a tool family's interpreter, as X.Y."""
    command = [python_for(session, family), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def venv(session: nox.Session, family: str) -> Path:
    """The environment of a tool family; made anew unless it is as the lock file says."""
    python = python_for(session, family)
    path = VENVS.resolve() / family
    lock = tree.ROOT / "requirements" / f"{family}.txt"
    # It does not survive a move of the checkout: its programs name their path.
    want = f"{python}\n{path}\n{lock.read_text()}"
    path.parent.mkdir(exist_ok=True)
    with (path.parent / f"{family}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # sessions run in parallel
        stamp = path / "made-from"
        if not stamp.exists() or stamp.read_text() != want:
            session.log(f"making the {family} environment with {python}")
            uv = find_uv_bin()
            session.run_install(uv, "venv", "--quiet", "--clear", "--python", python, path, external=True)
            session.run_install(uv, "pip", "sync", "--quiet", "--python", path, lock, external=True)
            stamp.write_text(want)
    return path


def run(session: nox.Session, family: str, *command: str, limit: int = 1200, **environment: str | None) -> None:
    """Run a command of a tool family for at most ``limit`` seconds, and keep its output in .build/logs."""
    pythons = tree.BUILD / "pythons"  # a shim for a version that it cannot start must not be found first
    pythons.mkdir(parents=True, exist_ok=True)
    if find_python("3.9") and not (pythons / "python3.9").exists():
        (pythons / "python3.9").symlink_to(find_python("3.9"))
    base = str(tree.link())
    env: dict[str, str | None] = {
        "PATH": f"{venv(session, family)}/bin:{pythons}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "PYTHONPATH": base,
        "ANSIBLE_COLLECTIONS_PATH": base,
        "ANSIBLE_HOME": str(tree.ROOT / ".cache/ansible"),
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(("VIRTUAL_ENV", "PYTHONHOME", "ANSIBLE_CONFIG", "PYENV_VERSION")),
        **environment,
    }
    log = tree.BUILD / "logs" / f"{session.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # timeout leads a process group of its own and passes a signal on to all of it; what it says is written to the end.
    limited = f"exec timeout --kill-after={CLEAN_UP} {limit} {shlex.join(command)} > >(exec setsid tee {log}) 2>&1"
    session.log(shlex.join(command))
    try:
        session.run(
            "bash", "-c", limited, env=env, external=True, log=False, interrupt_timeout=0, terminate_timeout=None
        )
    except nox.command.CommandFailed as failure:
        if failure.reason == f"Returned code {TIMED_OUT}":
            session.error(f"ended at its limit of {limit} s")
        raise


def keep_bytecode() -> dict[str, str]:
    """Ansible compiles the collection and its modules in each run; these runs share what comes of it."""
    return {
        "PYTHONPATH": f"{tree.link()}:{tree.ROOT / 'tests/support/caches'}",
        "CHAINOPS_BYTECODE": str(tree.BUILD / "bytecode"),
    }


def fork_ansible(session: nox.Session) -> dict[str, str]:
    """The same, and runs are forks of a process that has imported Ansible.

    Not for ansible-core 2.16, nor for jobs of AWX, whose environments differ from run to run.
    """
    forks(session).mkdir(exist_ok=True)
    return {**keep_bytecode(), "CHAINOPS_FORKS": str(forks(session))}


def keep_more(session: nox.Session) -> dict[str, str]:
    """The same on hosts, and the archives of modules. For tests whose modules are those of the tree."""
    payloads = tree.BUILD / "payloads" / session.name
    shutil.rmtree(payloads, ignore_errors=True)  # they are of the tree as it was
    return {**fork_ansible(session), "CHAINOPS_LAB_CACHES": "1", "CHAINOPS_PAYLOADS": str(payloads)}


def forks(session: nox.Session) -> Path:
    """The folder for the sockets of fork_ansible, whose path has to be short."""
    return Path(tempfile.gettempdir()) / f"chainops-forks-{os.getpid()}-{session.name}"


def end_forks(session: nox.Session) -> float:
    """Let the servers of fork_ansible end, and return the CPU time of their runs, in seconds."""
    if not forks(session).is_dir():
        return 0
    ended = forks(session).rename(f"{forks(session)}.ended")  # a server ends when its socket is not where it was
    for log in ended.glob("*.log"):
        if log.stat().st_size:
            session.warn(f"a server of forked_ansible.py said: {log.read_text()}")
    used = sum(float(path.read_text()) for path in ended.glob("*.cpu"))
    shutil.rmtree(ended)
    return used


def pytest(session: nox.Session, family: str, *arguments: str, limit: int = 1200, **environment: str) -> None:
    """Run pytest, with what follows `--` on the command line of nox as well."""
    junit = f"--junitxml={results(session)}/pytest.xml"
    run(session, family, "pytest", junit, *arguments, *session.posargs, limit=limit, **environment)


def in_copy(session: nox.Session, family: str, *command: str, limit: int = 1200, **environment: str | None) -> None:
    """Run a command in a copy of the tree that is laid out as an installed collection."""
    folder = tree.copy(session.name)
    with session.chdir(folder):
        environment = {"PYTHONPATH": str(folder.parents[2]), **environment}
        run(session, family, *command, limit=limit, ANSIBLE_COLLECTIONS_PATH=str(folder.parents[2]), **environment)


def ansible_test(session: nox.Session, family: str, *arguments: str, limit: int) -> None:
    """Run ansible-test offline. The sessions of antsibull-nox for it need a container engine."""
    found = results(session)
    made = tree.copy(session.name) / "tests/output/junit"
    shutil.rmtree(made, ignore_errors=True)
    if "--python" not in arguments:
        # Of "default" it takes every Python that it finds, shims for one that they cannot start among them.
        arguments += ("--python", python_version(session, family))
    command = ["ansible-test", *arguments, "--color", "no"]
    if arguments[0] == "sanity" and "--test" not in arguments:
        # What is released, and the unit tests; the other tests never leave the controller: see ruff and mypy. For the
        # unit tests the newest ansible-core speaks for the oldest, as its rules are the stricter ones.
        pruned = "rm -rf extensions/molecule tools noxfile.py tests/[!cu]*"
        pruned += " tests/unit" if family == "compat" else ""
        command = ["bash", "-c", f"{pruned}; exec {shlex.join(command)}"]
    try:
        in_copy(session, family, *command, limit=limit, HOME=str(tree.home()), PYTHONPATH=None)
    finally:
        if made.is_dir():
            shutil.copytree(made, found, dirs_exist_ok=True)
    if not any(found.iterdir()):
        session.error("ran nothing")


def need(session: nox.Session, missing: str) -> None:
    """Skip the session where the machine lacks something, named in ``missing``. CI exists to run it: there it fails."""
    if missing and os.environ.get("CI"):
        session.error(f"cannot run here: {missing}")
    if missing:
        session.skip(missing)


def need_hosts(session: nox.Session) -> None:
    """The session boots systemd hosts, which takes root and some programs."""
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    lab = tree.ROOT / "tests/support/lab/lab"
    told = subprocess.run([lab, "check"], capture_output=True, text=True, check=False, env=env)
    need(session, "; ".join((told.stdout + told.stderr).splitlines()) if told.returncode else "")


def need_chromium(session: nox.Session) -> None:
    need(session, "" if shutil.which("chromium") else "there is no chromium: apt-get install chromium")


def need_python39(session: nox.Session) -> None:
    if not find_python("3.9"):
        session.skip("no Python 3.9 that runs was found")


@check("venvs")
def venvs(session: nox.Session) -> None:
    """Make the environments of the families named after `--`, or of all."""
    for family in session.posargs or [family for family in FAMILIES if family != "python39" or find_python("3.9")]:
        venv(session, family)


@check("lock")
def lock(session: nox.Session) -> None:
    """Newer tools: resolve requirements/*.in anew."""
    for family in session.posargs or [*FAMILIES, "nox"]:
        source = tree.ROOT / "requirements" / f"{family}.in"
        resolve = (find_uv_bin(), "pip", "compile", "--quiet", "--upgrade", "--no-header", "--no-annotate")
        pins = session.run(*resolve, "--python", python_for(session, family), source, external=True, silent=True)
        header = [
            line for line in source.read_text().splitlines() if line.startswith(("# Copyright", "# GNU", "# SPDX"))
        ]
        said = f"# Exact versions, made from {family}.in by 'make lock'."
        source.with_suffix(".txt").write_text("\n".join([*header, said, str(pins)]))


# ---- lint, beside the sessions of antsibull-nox


@check("ruff")
def ruff(session: nox.Session) -> None:
    """Check the Python files; the session of antsibull-nox needs an ansible-core to lay the collection out."""
    run(session, "lint", "ruff", "check", ".")


@check("yamllint")
def yamllint(session: nox.Session) -> None:
    """Check the YAML files; the session of antsibull-nox lets warnings pass."""
    run(session, "lint", "yamllint", "--strict", ".")


@check("format")
def format_(session: nox.Session) -> None:
    """Check the format of the Python files; the session of antsibull-nox rewrites them."""
    run(session, "lint", "ruff", "format", "--check", ".")


@check("mypy")
def mypy(session: nox.Session) -> None:
    """Check all types; the session of antsibull-nox has no room for code that is not imported as a collection."""
    in_copy(session, "lint", "tools/mypy-all")


@check("imports")
def imports(session: nox.Session) -> None:
    """Check the import contracts."""
    run(session, "lint", "lint-imports", "--config", ".importlinter")


@check("reuse")
def reuse(session: nox.Session) -> None:
    """Check the licences; what the session of antsibull-nox adds to reuse does not know of REUSE.toml."""
    run(session, "lint", "reuse", "lint")


@check("shellcheck")
def shellcheck(session: nox.Session) -> None:
    """Check every shell script."""
    run(session, "lint", "tools/shellcheck-all")


@check("workflow")
def workflow(session: nox.Session) -> None:
    """Check the workflow of the forge: its schema, and its safety."""
    files = [str(path) for path in Path(".github/workflows").glob("*.yml")]
    run(session, "workflow", "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    run(session, "workflow", "zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github")


# ---- docs, importer


@check("antsibull-docs")
def antsibull_docs(session: nox.Session) -> None:
    """Check the documentation; the session of antsibull-nox lets references to unknown collections pass."""
    refs = ("--validate-collection-refs", "dependent", "--disallow-unknown-collection-refs", "--check-extra-docs-refs")
    in_copy(session, "lint", "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", *refs, ".")


@check("antsibull-changelog")
def antsibull_changelog(session: nox.Session) -> None:
    """Check the changelog and its fragments."""
    in_copy(session, "lint", "antsibull-changelog", "lint")
    in_copy(session, "lint", "antsibull-changelog", "lint-changelog-yaml", "--strict", "changelogs/changelog.yaml")


@check("tree")
def tree_(session: nox.Session) -> None:
    """Test what the documents promise, and the rules for every file."""
    pytest(session, "core", "tests/docs", limit=1200, **fork_ansible(session))


@check("roles")
def roles(session: nox.Session) -> None:
    """Test roles and playbooks without hosts."""
    pytest(session, "core", "tests/roles", limit=2400, **fork_ansible(session))


@check("dashboard")
def dashboard(session: nox.Session) -> None:
    """Test the dashboard and its queries."""
    pytest(session, "lint", "tests/dashboard")


@check("importer")
def importer(session: nox.Session) -> None:
    """Build the artefact and import it; the session of antsibull-nox takes the importer's warnings for success."""
    in_copy(session, "importer", "tools/import-artefact")


# ---- sanity, unit, property, controller


@check("sanity")
def sanity(session: nox.Session) -> None:
    """Run the sanity tests of the newest ansible-core."""
    ansible_test(session, "sanity", "sanity", "--local", "--junit", limit=1800)


@check("sanity-core2.16")
def sanity_oldest(session: nox.Session) -> None:
    """Run the sanity tests of the oldest ansible-core."""
    ansible_test(session, "compat", "sanity", "--local", "--junit", limit=1800)


@check("sanity-python3.9")
def sanity_python(session: nox.Session) -> None:
    """Compile and import on the oldest Python of hosts."""
    need_python39(session)
    tests = ("--test", "compile", "--test", "import")
    ansible_test(session, "sanity", "sanity", "--venv", "--python", "3.9", *tests, "--junit", limit=900)


@check("smoke-core2.16")
def smoke(session: nox.Session) -> None:
    """Load everything with the oldest ansible-core, and run a module."""
    run(session, "compat", "tools/smoke-core")
    pytest(session, "compat", "tests/roles/test_unreachable.py", limit=1200, **keep_bytecode())


@check("hostile-core2.16.0")
def hostile(session: nox.Session) -> None:
    """Test text of hostile hosts with the first release of the oldest ansible-core."""
    pytest(session, "oldest", "tests/roles/test_hostile_hosts.py", limit=1200, **keep_bytecode())


@check("unit")
def unit(session: nox.Session) -> None:
    """Run the unit tests on the newest ansible-core."""
    pytest(session, "core", "tests/unit")


@check("unit-core2.16")
def unit_oldest(session: nox.Session) -> None:
    """Run the unit tests that reach ansible-core on the oldest."""
    # What runs on hosts has no other ansible-core than the part of it that its module is sent with.
    pytest(session, "compat", *tests_with_ansible.found())


@check("unit-python3.9")
def unit_python(session: nox.Session) -> None:
    """Run the unit tests of what runs on hosts on their oldest Python."""
    need_python39(session)
    # Not by ansible-test: it forks for each test, which takes three times as long as the tests.
    pytest(session, "python39", "tests/unit/plugins/modules", "tests/unit/plugins/module_utils")


@check("property")
def property_(session: nox.Session) -> None:
    """Test properties over generated input."""
    pytest(session, "core", "tests/property", limit=1800)


@check("simulations")
def simulations(session: nox.Session) -> None:
    """Recover random fleets, and restart validators of random networks, 10,000 of each."""
    many = {"CHAINOPS_SIMULATED_FLEETS": "10000", "CHAINOPS_SIMULATED_NETWORKS": "10000"}
    pytest(session, "core", "tests/property", "-k", "simulation", limit=3600, **many)


@check("controller")
def controller(session: nox.Session) -> None:
    """Test the objects and jobs of AWX."""
    venv(session, "events")
    pytest(session, "controller", "tests/controller", limit=2700, **keep_bytecode())


# ---- hosts


def on_hosts(session: nox.Session, *arguments: str, limit: int, **environment: str) -> None:
    """Run pytest on systemd hosts."""
    need_hosts(session)
    venv(session, "events")
    # It loads the collection in a way of its own, which hides it from tests that import it.
    pytest(session, "laboratory", "-p", "no:pytest-ansible", *arguments, limit=limit, **environment)


# Each worker has hosts of its own: three of them wait often enough to keep the cores busy, and no longer than that.
WORKERS = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")


@check("laboratory")
def laboratory(session: nox.Session) -> None:
    """Test on systemd hosts."""
    apart = "--ignore=tests/integration/test_accuracy.py"
    on_hosts(session, *WORKERS, "-m", "not long", "tests/integration", apart, limit=4800, **keep_more(session))


@check("accuracy", alone=True)
def accuracy(session: nox.Session) -> None:
    """Measure on systemd hosts how exact the times of a proof are."""
    on_hosts(session, "tests/integration/test_accuracy.py", limit=1200)


@check("long")
def long(session: nox.Session) -> None:
    """Run the scenarios of several minutes on systemd hosts."""
    on_hosts(session, *WORKERS, "-m", "long", "tests/integration", limit=4800)


@check("stand-ins")
def stand_ins(session: nox.Session) -> None:
    """Test the stand-ins for Besu and for Cloudflare's edge."""
    tests = ("tests/support/cloudflare_edge/tests", "tests/support/besu_standin/tests")
    pytest(session, "laboratory", "-p", "no:pytest-ansible", "-n", "3", *tests, limit=1800)


@check("pytest-ansible")
def pytest_ansible(session: nox.Session) -> None:
    """Test the collection under pytest-ansible."""
    pytest(session, "laboratory", "--ansible-unit-inject-only", "tests/pytest_ansible")


@check("browser")
def browser(session: nox.Session) -> None:
    """Test the report in a browser, and keep screenshots."""
    need_chromium(session)
    screenshots = str(results(session))
    pytest(session, "laboratory", "-p", "no:pytest-ansible", "tests/browser", CHAINOPS_SCREENSHOTS=screenshots)


@check("molecule")
def molecule(session: nox.Session) -> None:
    """Run the scenarios of the roles and playbooks on systemd hosts; after `--`: --scenario-name NAME."""
    need_hosts(session)
    # A run that was killed leaves molecule believing that the hosts, which ended with it, are there.
    for stale in [*(tree.ROOT / ".cache/ansible/tmp").glob("molecule.*"), *tree.BUILD.glob("molecule")]:
        shutil.rmtree(stale)
    run(
        session,
        "core",
        "molecule",
        "test",
        "--report",
        *(session.posargs or ["--all"]),
        limit=2700,
        **keep_more(session),
    )


# ---- what is not a part of make test


@check("bench", alone=True)
def bench(session: nox.Session) -> None:
    """Measure the figures, as ratios to a peer measured in the same run."""
    need_hosts(session)
    apart = "--ignore=tests/bench/test_report.py"
    pytest(session, "core", "tests/bench", "-s", apart, limit=3600, RESULTS=str(results(session)))


@check("bench-report", alone=True)
def bench_report(session: nox.Session) -> None:
    """Measure the report in a browser."""
    need_chromium(session)
    files = ("-s", "tests/bench/test_report.py")
    pytest(session, "laboratory", "-p", "no:pytest-ansible", *files, RESULTS=str(results(session)))


@check("mutation", alone=True)
def mutation(session: nox.Session) -> None:
    """List the changes of the rules which protect a quorum that no test notices."""
    database = str(results(session) / "mutation.sqlite")
    for command in (
        ("cosmic-ray", "init", "tools/mutation.toml", database, "--force"),
        ("cr-filter-operators", database, "tools/mutation.toml"),
        ("cosmic-ray", "exec", "tools/mutation.toml", database),
        # It names each mutant that survives, with its change: most of them change words alone.
        ("cr-report", "--surviving-only", "--show-diff", "--no-show-output", database),
    ):
        in_copy(session, "mutation", *command, limit=14400)
