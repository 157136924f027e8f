"""Fixtures that several test files share."""

import pytest
from families import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The tiny encoders and the toy task, with the runs that tests have in common."""
    return Bench(tmp_path_factory.mktemp("bench"))
