"""What a number of seeds can and cannot show; stated with every table."""

import math

from scipy import special

from results.stats.inputs import proportion


def detection_power(d_z: float, n: int, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t-test for a true mean of d_z sds of the differences, by the noncentral t.

    ValueError for n < 2 or alpha outside (0, 1).
    """
    if n < 2:
        raise ValueError(f"n: at least 2 needed, got {n}")
    critical = special.stdtrit(n - 1, 1 - proportion(alpha, "alpha") / 2)
    shift = abs(d_z) * math.sqrt(n)
    right_sign, wrong_sign = special.nctdtr(n - 1, -shift, -critical), special.nctdtr(n - 1, shift, -critical)
    # scipy 1.17 gives nan for some wrong signs, all of a probability below 1e-13 (checked to n = 300, alpha = 1e-5).
    return float(right_sign + (0.0 if math.isnan(wrong_sign) else wrong_sign))


def minimum_detectable_effect(n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true d_z that n paired seeds show with this power; multiply by the sd of the differences for points.

    alpha: two-sided, divided by the number of comparisons if they are corrected for. Infinite for a single seed. The
    argument is that of Card et al. 2020. ValueError for n < 1, or alpha or power outside (0, 1).
    """
    if n < 1:
        raise ValueError(f"n: at least 1 needed, got {n}")
    if n == 1:
        return math.inf
    proportion(power, "power")
    low, high = 0.0, 1.0
    while detection_power(high, n, alpha) < power:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if detection_power(middle, n, alpha) < power else (low, middle)
    return high
