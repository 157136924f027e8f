"""Two one-sided t-tests: whether a difference lies within a margin declared beforehand."""

from scipy import special


def equivalence_p(difference: float, standard_error: float, degrees_of_freedom: float, margin: float) -> float:
    """The larger p of the two one-sided t-tests that the difference lies within -margin..margin.

    All in one unit. Without any spread it is 0 or 1; with an unknown spread nan. Source: Schuirmann 1987.
    ValueError for a margin not above 0.
    """
    if margin <= 0:
        raise ValueError(f"margin: expected a number above 0, got {margin}")
    if standard_error == 0:
        return float(abs(difference) >= margin)
    return float(special.stdtr(degrees_of_freedom, (abs(difference) - margin) / standard_error))
