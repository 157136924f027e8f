"""Words for numbers of things, in messages and captions."""


def counted(amount: int | str, noun: str) -> str:
    """Return a number with its noun: "1 run", "2 runs".

    Args:
        amount: A number of things, or one already written, such as "1,000" or "3-6".
        noun: The thing, in the singular.
    """
    return f"{amount} {noun if str(amount) == '1' else noun + 's'}"
