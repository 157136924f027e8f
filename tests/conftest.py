"""Fixtures that several test files share, which tests belong on one worker, and which are left out of a fast run."""

import pytest

from helpers.toy_encoders import Bench

SHARING = ("test_committed", "test_figures", "test_methods_table", "test_data_parallel", "test_report", "test_sweep")
"""Files whose tests share costly fixtures."""
SLOW = {
    "contract": ("test_contract", "test_peft_tuners", "test_mpnet", "test_two_levels", "test_bidora", "test_setfit"),
    "committed": ("test_committed", "test_readme", "test_methods_table"),
    "processes": (
        "test_carry_out", "test_cli", "test_data_parallel", "test_fetch_encoder", "test_own_encoder", "test_reuse",
        "test_stage_workers", "test_sweep", "test_tuning", "test_agwm_memory", "test_bench_agwm", "test_bench_methods",
        "test_own_data", "test_any_table", "test_stats_simulations", "test_sequential_simulations",
    ),
}  # fmt: skip
"""What `tests/run.sh --fast` leaves out: every method's trainings, remaking what is committed, other processes."""


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The tiny encoders and the toy task, with the runs that tests have in common."""
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a method's runs, or a file's fixtures, go to one worker, which makes these once."""
    marks = {file: mark for mark, files in SLOW.items() for file in files}
    for item in items:
        if item.path.stem in marks:
            item.add_marker(marks[item.path.stem])
        shared = getattr(item, "callspec", None) and item.callspec.params.get("method")  # type: ignore[attr-defined]
        if shared and "bench" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(f"method {shared}"))
        elif item.path.stem in SHARING:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
