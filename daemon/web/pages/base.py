"""The base of every group of pages: renderer, dependencies, URL parsing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import ValidationError

from daemon.store.glance import Dashboard
from daemon.web import view
from daemon.web.frame import Answer, PageRequest, Renderer
from daemon.web.models import RequestModel, RunRef
from daemon.web.problems import Problem
from daemon.web.routes import ApiRequest, Context

_Model = TypeVar("_Model", bound=RequestModel)
RUN = "/status/runs/{run_id}"


class Pages:
    """A group of pages, for people who are logged in."""

    def __init__(self, site: Context, frame: Renderer, router: web.UrlDispatcher) -> None:
        self._site = site
        self._parts = site.parts
        self._frame = frame
        self._router = router
        self._serve()

    def _serve(self) -> None:
        """Give each page its address."""
        raise NotImplementedError

    def _get(self, path: str, answer: Answer, *, admin: bool = False) -> None:
        """Serve a page, for administrators alone where it is theirs."""
        handler = self._frame.handler(answer, admin=admin)
        self._router.add_get(self._frame.base + path, handler)

    def _post(self, path: str, answer: Answer) -> None:
        """Take a form; all of them are for administrators."""
        self._router.add_post(self._frame.base + path, self._frame.handler(answer, admin=True))

    def _page(
        self, visit: PageRequest, name: str, *, status: int = 200, **values: Any
    ) -> web.Response:
        return self._frame.page(visit.request, name, status=status, **values)

    def _facts(self, seen: Dashboard) -> view.Facts:
        """All that says how things stand now."""
        parts = self._parts
        return view.Facts(
            now=parts.clock(),
            glance=seen,
            running=parts.worker.running,
            waiting=parts.worker.waiting,
            services=parts.health.services,
            stuck=parts.worker.stuck_seconds,
            every=parts.settings.sync.every,
            paused=parts.schedule.jobs["full"].paused,
            asked=parts.services.meters,
            calls_before=parts.service.calls_before,
        )

    def _run_id(self, visit: PageRequest) -> int:
        return read(RunRef, {"run_id": visit.request.match_info["run_id"]}, 404).run_id

    def _call(self, visit: PageRequest, run_id: int | None = None) -> ApiRequest[Any, RequestModel]:
        """The request as the API's handlers take it."""
        query = RequestModel() if run_id is None else RunRef(run_id=run_id)
        return ApiRequest(self._site, visit.request, query, RequestModel())


def read(model: type[_Model], given: Mapping[str, str], status: int) -> _Model:
    """The URL's values that the model knows.

    Raises:
        Problem: of that status; they make no sense.
    """
    try:
        return model.model_validate({k: v for k, v in given.items() if k in model.model_fields})
    except ValidationError as error:
        names = " and ".join(str(flaw["loc"][0]) for flaw in error.errors())
        raise Problem(status, f"There is nothing here: {names} is not valid.") from None
