"""Published lists of seeds. Imports no torch."""

PRESETS: dict[str, tuple[int, ...]] = {
    "agwm": (1017, 4803, 6757, 9618, 10290, 11799, 19189, 28104, 29576, 31511),
    "childtuning": (42, 52, 57, 63, 78, 96, 127, 140, 298, 375),
    "tuning": (70001, 70002, 70003, 70004, 70005),
}
"""Seeds of the AGWM authors (first commit of their run_mlo.sh) and of Child-Tuning (AliceMind, answer to issue 24).

The "tuning" seeds are for choosing settings, and are refused in every suite that reports test scores.
"""
