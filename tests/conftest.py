"""Options and fixtures shared by the tests, which tests run on one worker, and which a fast run leaves out."""

import gc
import os
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import typer.testing

from results.tabulating.methods import PARITY

if TYPE_CHECKING:  # What imports torch is left to the processes that run tests: the one that starts them waits for it.
    from helpers.official_cases import Parity
    from helpers.toy_encoders import Bench

SHARING = (
    "test_committed", "test_figures", "test_methods_and_costs", "test_data_parallel", "test_report", "test_sweep",
    "test_hand_started", "test_slurm", "test_contributing", "test_compare", "test_cluster_commands", "test_bench_gpu",
    "test_benchmarks", "test_accidents",
)  # fmt: skip
"""Files whose tests share costly fixtures, or mostly wait."""
SLOW = {
    "contract": (
        "test_contract", "test_peft_tuners", "test_mpnet", "test_two_levels", "test_bidora", "test_setfit",
        "test_micro_batches", "test_training", "test_selection", "test_agwm", "test_agwm_ablation_rows",
        "test_seed_sources",
    ),
    "committed": (
        "test_committed", "test_readme", "test_methods_and_costs", "test_figures", "test_visible_text", "test_verdict",
        "test_damaged_store", "test_plan", "test_frame",
    ),
    "processes": (
        "test_carry_out", "test_cli", "test_data_parallel", "test_fetch_encoder", "test_own_encoder", "test_reuse",
        "test_stage_workers", "test_sweep", "test_tuning", "test_agwm_memory", "test_bench_agwm", "test_benchmarks",
        "test_own_data", "test_any_table", "test_compare", "test_stats_simulations", "test_sequential_simulations",
        "test_contributing", "test_hand_started", "test_slurm", "test_simulate_and_encoders_table", "test_bench_gpu",
        "test_bad_inputs", "test_cluster_commands", "test_proof_process", "test_accidents", "test_registry",
    ),
}  # fmt: skip
"""Tests that `tests/run.sh --fast` leaves out: trainings, reading or remaking committed files, subprocesses."""
WAITING = (
    "test_hand_started", "test_data_parallel", "test_sweep", "test_compare", "test_cluster_commands", "test_benchmarks",
    "test_bench_gpu", "test_accidents", "test_slurm",
)  # fmt: skip
"""Files whose tests mostly wait, for processes that start, die and are missed, or that wait for each other."""
WAITER = pytest.StashKey[str]()
"""The worker that runs these tests, if there is one for them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for another folder of reference numbers, and for writing what the project's own are compared with."""
    group = parser.getgroup("reference numbers")
    group.addoption("--golden", type=Path, metavar="FOLDER", help="Parity tests read the cases of this folder.")
    group.addoption("--write-parity", action="store_true", help=f"Write the largest differences to {PARITY.name}.")
    group.addoption("--write-tables", action="store_true", help="Write the golden tables anew before comparing.")


def pytest_configure(config: pytest.Config) -> None:
    """Set the folder of cases before the tests are collected."""
    folder = config.getoption("--golden")
    if folder is not None:
        if not folder.is_dir():
            raise pytest.UsageError(f"--golden {folder}: there is no such folder")
        from helpers.official_cases import CHOSEN

        CHOSEN.folders = (folder.resolve(),)
    if config.getoption("--write-parity") and (folder is not None or config.getoption("numprocesses", None)):
        raise pytest.UsageError("--write-parity measures the project's own cases in one process: no --golden, no -n")


# Commands that tests start compute with the same instructions as this process, which loads no library.
os.environ.setdefault("LD_PRELOAD", "")


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """One worker for each core, and another one for tests that wait if all tests run."""
    cores = yield
    if config.args_source is not config.ArgsSource.TESTPATHS or config.option.markexpr or config.option.keyword:
        return cores
    config.stash[WAITER] = f"gw{cores}"
    return cores + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests that wait to the worker beyond the number of cores, which ends after them."""
    if WAITER not in config.stash:
        return None
    waiter = config.stash[WAITER]
    from xdist.scheduler import LoadGroupScheduling
    from xdist.workermanage import WorkerController

    class BesideThoseThatWait(LoadGroupScheduling):
        def _assign_work_unit(self, node: WorkerController) -> None:
            fitting = [unit for unit in self.workqueue if (unit in WAITING) == (node.gateway.id == waiter)]
            if fitting:
                self.workqueue.move_to_end(fitting[0], last=False)
            elif node.gateway.id == waiter and len(self.nodes) > 1:
                node.shutdown()
                return
            super()._assign_work_unit(node)

    return BesideThoseThatWait(config, log)


@pytest.fixture(scope="session", autouse=True)
def _commands_made_once() -> Iterator[None]:
    """Make the command line's parsers once for all calls in a test process: this takes longer than most commands."""
    with pytest.MonkeyPatch.context() as patched:
        made = cache(typer.main.get_command)
        patched.setattr(typer.main, "get_command", made)
        patched.setattr(typer.testing, "_get_command", made)
        yield


@pytest.fixture(scope="module", autouse=True)
def _imports_are_no_garbage() -> None:
    """Let the garbage collection at the end of each run pass over what has been imported by now."""
    gc.freeze()


@pytest.fixture(scope="session")
def record_parity(request: pytest.FixtureRequest) -> "Iterator[Parity]":
    """Collects and checks differences; with --write-parity they are written once all tests have passed."""
    from helpers.official_cases import OWN, Parity, descriptions

    parity = Parity()
    yield parity
    if request.config.getoption("--write-parity") and not request.session.testsfailed:
        missing = set(descriptions(OWN)) - set(parity.found)
        assert not missing, f"not written: the tests that ran do not cover {', '.join(sorted(missing))}"
        PARITY.write_text(parity.text())


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> "Bench":
    """The tiny encoders and the toy task, with the runs that tests share."""
    from helpers.toy_encoders import Bench

    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the compiled tests, even where the environment forbids it: to compile them takes each process long."""
    forbidden, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = forbidden


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Send tests that share a method's runs, or a file's fixtures, to one worker, which makes these once."""
    marks = {file: mark for mark, files in SLOW.items() for file in files}
    for item in items:
        if item.path.stem in marks:
            item.add_marker(marks[item.path.stem])
        shared = getattr(item, "callspec", None) and item.callspec.params.get("method")  # type: ignore[attr-defined]
        if isinstance(shared, str) and "bench" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(f"method {shared}"))
        elif item.path.stem in SHARING:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
