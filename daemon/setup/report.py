"""Says one thing a line: what was found, what is done or would be, what went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from daemon.errors import ServiceError
from daemon.report import words


class Report:
    """What a person sees of setup.

    Attributes:
        dry_run: steps are told, and not taken.
        whole: everything went well.
    """

    def __init__(self, say: Callable[[str], None], *, dry_run: bool) -> None:
        self._say = say
        self.dry_run = dry_run
        self.whole = True

    def ok(self, thing: str, text: str) -> Literal[True]:
        """It is as it should be."""
        self._line("ok", thing, text)
        return True

    def done(self, thing: str, what: str) -> Literal[True]:
        """It was changed."""
        self._line("done", thing, what)
        return True

    def bad(self, what: object) -> Literal[False]:
        """Something is not as it should be, and setup goes on without it."""
        self.whole = False
        self.lines([f"BAD   {what}"])
        return False

    async def step(self, thing: str, what: str, take: Callable[[], Awaitable[None]]) -> bool:
        """Take a step, or only tell it; whether it went well."""
        if self.dry_run:
            self._line("would", thing, what)
            return True
        try:
            await take()
        except ServiceError as error:
            return self.bad(error)
        return self.done(thing, what)

    def lines(self, lines: Iterable[str]) -> None:
        """Say it as it is."""
        for line in lines:
            self._say(words.plain(line))

    def _line(self, mark: str, thing: str, text: str) -> None:
        self._say(words.plain(f"{mark:<5} {thing}: {text}"))
