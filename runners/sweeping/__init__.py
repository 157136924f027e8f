"""Carries a plan out: what is left to do, in this process or in workers, and what is reused."""
