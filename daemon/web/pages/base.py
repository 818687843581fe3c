"""What every group of pages is made with: the frame, the parts, and how an address is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import ValidationError

from daemon.web.frame import Answer, Frame, Visit
from daemon.web.models import Asked, RunRef
from daemon.web.problems import Problem
from daemon.web.routes import Call, Site

_Model = TypeVar("_Model", bound=Asked)
RUN = "/status/runs/{run_id}"


class Pages:
    """A group of pages, of whoever is logged in."""

    def __init__(self, site: Site, frame: Frame) -> None:
        self._site = site
        self._parts = site.parts
        self._frame = frame

    def readable(self) -> Iterator[tuple[str, Answer, bool]]:
        """Addresses, what answers there, and whether only administrators may see it."""
        raise NotImplementedError

    def writable(self) -> Iterator[tuple[str, Answer]]:
        """Addresses of forms; all of them are for administrators."""
        yield from ()

    def _page(self, visit: Visit, name: str, *, status: int = 200, **values: Any) -> web.Response:
        return self._frame.page(visit.request, name, status=status, **values)

    def _run_id(self, visit: Visit) -> int:
        return read(RunRef, {"run_id": visit.request.match_info["run_id"]}, 404).run_id

    def _call(self, visit: Visit, run_id: int | None = None) -> Call[Any, Asked]:
        """The same request as the API takes it."""
        query = Asked() if run_id is None else RunRef(run_id=run_id)
        return Call(self._site, visit.request, query, Asked())


def read(model: type[_Model], given: Mapping[str, str], status: int) -> _Model:
    """An address's values, as far as the model knows them.

    Raises:
        Problem: of that status; they make no sense.
    """
    try:
        return model.model_validate({k: v for k, v in given.items() if k in model.model_fields})
    except ValidationError as error:
        names = " and ".join(str(flaw["loc"][0]) for flaw in error.errors())
        raise Problem(
            status, f"There is nothing here: what is given as {names} fits none."
        ) from None
