"""A console that does not let text from files control the terminal."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from typing_extensions import override

from amix.specs.visible_text import visible


class SafeConsole(Console):
    """Escapes control characters in labels, titles and messages; rich's own colours and lines are unchanged."""

    @override
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape the text of every segment; all text passes here on its way to the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
