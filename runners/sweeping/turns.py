"""Turns for deliveries: a few at once, of which those whose workers no longer answer are not counted."""

import threading
import time

STALLED = 30.0
"""Seconds without progress after which a delivery holds nobody up: its worker is frozen, or its network is down."""


class Turns:
    """Lets a number of deliveries through at once; threads take turns, note their progress and leave."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.moved: dict[str, float] = {}
        """When each delivery that has its turn last made progress, by its name."""
        self.changed = threading.Condition()

    def take(self, delivery: str, timeout: float) -> bool:
        """Whether the delivery has its turn within this many seconds."""
        with self.changed:
            if not self.changed.wait_for(lambda: self._moving() < self.most, timeout):
                return False
            self.moved[delivery] = time.monotonic()
            return True

    def note(self, delivery: str) -> None:
        """The delivery has made progress."""
        with self.changed:
            self.moved[delivery] = time.monotonic()

    def leave(self, delivery: str) -> None:
        """The delivery has ended."""
        with self.changed:
            del self.moved[delivery]
            self.changed.notify()

    def _moving(self) -> int:
        now = time.monotonic()
        return sum(now - moved < STALLED for moved in self.moved.values())
