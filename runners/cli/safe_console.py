"""A console on which no text of a file can steer the terminal."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from amix.specs.visible_text import visible


class SafeConsole(Console):
    """Writes out control characters of labels, titles and messages; its own colours and lines are as ever."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Every text passes here, whatever it stands in, on its way to the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
