"""Numbers of things in messages and captions, and messages from elsewhere."""

from amix.specs.wording import counted, one_line


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


def test_a_foreign_message_becomes_one_line() -> None:
    assert one_line("a\n b\x1b[31m") == "a b[31m"
    assert len(one_line("word " * 500)) < 420
