"""Shares of a whole: 0 to 1, written as a decimal (0.05) or in percent (5%).

Worked out in millionths with whole numbers, so that 5% and 0.05 are the same number on every
interpreter, also where floats have 32 bits. Never guesses: anything else is None.
"""

MILLION = 1000000


def parse_share(text: str) -> "float | None":
    """The share, exact to a millionth; None for what is not one."""
    is_percent = text.endswith("%")
    number = text[:-1].strip() if is_percent else text
    whole, _, fraction = number.partition(".")
    digits = 4 if is_percent else 6
    if not _is_digits(whole, 7) or ("." in number and not _is_digits(fraction, digits)):
        return None
    millionths = int(whole + fraction + "0" * (digits - len(fraction)))
    return millionths / MILLION if millionths <= MILLION else None


def _is_digits(text: str, most: int) -> bool:
    return 0 < len(text) <= most and all("0" <= c <= "9" for c in text)


def format_share(share: float) -> str:
    """The decimal text of a share: 0.05, 1, 0."""
    millionths = int(share * MILLION + 0.5)
    fraction = "{:06d}".format(millionths % MILLION).rstrip("0")
    whole = str(millionths // MILLION)
    return whole + "." + fraction if fraction else whole
