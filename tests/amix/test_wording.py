"""Numbers of things in messages and captions."""

from amix.specs.wording import counted


def test_one_thing_is_in_the_singular_however_it_is_written() -> None:
    assert [counted(number, "run") for number in (0, 1, 2, 21, "1", "1,000", "3-6")] == [
        "0 runs",
        "1 run",
        "2 runs",
        "21 runs",
        "1 run",
        "1,000 runs",
        "3-6 runs",
    ]
