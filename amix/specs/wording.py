"""Words of messages and captions: numbers of things, and messages from elsewhere."""

MOST_LETTERS = 400


def counted(amount: int | str, noun: str) -> str:
    """Return a number with its noun: "1 run", "2 runs".

    Args:
        amount: A number of things, or one already written, such as "1,000" or "3-6".
        noun: The thing, in the singular.
    """
    return f"{amount} {noun if str(amount) == '1' else noun + 's'}"


def one_line(message: str) -> str:
    """A message from any source as one line, shortened and safe for a terminal."""
    words = " ".join(message.split()) or "without a message"
    printable = "".join(sign for sign in words if sign.isprintable())
    return printable if len(printable) <= MOST_LETTERS else f"{printable[:MOST_LETTERS]} ..."
