"""Fixtures that several test files share, and which tests belong on one worker."""

import pytest

from helpers.toy_encoders import Bench

SHARING = ("test_committed", "test_figures", "test_methods_table", "test_data_parallel", "test_report", "test_sweep")
"""Files whose tests share costly fixtures."""


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The tiny encoders and the toy task, with the runs that tests have in common."""
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a method's runs, or a file's fixtures, go to one worker, which makes these once."""
    for item in items:
        shared = getattr(item, "callspec", None) and item.callspec.params.get("method")  # type: ignore[attr-defined]
        if shared and "bench" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(f"method {shared}"))
        elif item.path.stem in SHARING:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
