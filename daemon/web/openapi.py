"""The OpenAPI description, generated from the route table."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from daemon import __version__
from daemon.web.models import ProblemDocument, RequestModel
from daemon.web.problems import PROBLEM_TYPE
from daemon.web.routes import Route

_REF: Final = "#/components/schemas/{model}"
_JSON: Final = "application/json"
_OF_ADMIN: Final = (401, 403, 429, 503)
_OF_BODY: Final = (408, 413, 415)
_SCHEMES: Final = {
    "jellyfin": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Jellyfin-Token",
        "description": "The token of an administrator of the configured Jellyfin; it may also be"
        ' sent as `Authorization: MediaBrowser Token="..."`.',
    },
    "token": {"type": "http", "scheme": "bearer", "description": "The configured admin token."},
}
_HOOK_SCHEMES: Final = {
    "secret": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Library-Sync-Secret",
        "description": "The configured webhook secret; it may also be sent as a bearer, or as the"
        " password of Basic authentication.",
    },
}
_OF_HOOK: Final = (401, 403, 429)

_Routes = Sequence[Route]


def described(routes: _Routes, base_path: str) -> bytes:
    """The OpenAPI 3.1 document as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Library Sync", "version": __version__},
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(routes), "securitySchemes": _SCHEMES | _HOOK_SCHEMES},
    }
    return json.dumps(document).encode()


def _operation(route: Route) -> dict[str, Any]:
    text = inspect.getdoc(route.answer) or ""
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": text.partition("\n")[0],
        "description": text,
        "parameters": [*_parameters(route)],
        "responses": {str(status): reply for status, reply in sorted(_replies(route))},
        "security": [{name: []} for name in _schemes(route)],
    }
    if route.hook:
        operation["requestBody"] = {"content": {"*/*": {"schema": {}}}}
    if _takes_body(route):
        needed = any(field.is_required() for field in route.body.model_fields.values())
        content = {_JSON: {"schema": _ref(route.body)}}
        operation["requestBody"] = {"required": needed, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = (word.strip("{}") for word in route.path.replace(".", "/").split("/") if word)
    return "_".join((route.method.lower(), *words))


def _schemes(route: Route) -> Iterable[str]:
    return _HOOK_SCHEMES if route.hook else _SCHEMES if route.admin else ()


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    schema = route.query.model_json_schema()
    for name, field in schema["properties"].items() if "properties" in schema else ():
        in_path = f"{{{name}}}" in route.path
        about = {"description": field.pop("description")} if "description" in field else {}
        where = "path" if in_path else "query"
        yield {"name": name, "in": where, "required": in_path, "schema": _plain(field), **about}


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """The schema without null: a URL parameter can only be absent."""
    kinds = [kind for kind in field.pop("anyOf", ()) if kind.get("type") != "null"]
    schema = {**field, **(kinds[0] if kinds else {})}
    return {key: value for key, value in schema.items() if value is not None and key != "title"}


def _replies(route: Route) -> Iterator[tuple[int, dict[str, Any]]]:
    for status, shape in route.replies.items():
        media, schema = (
            (shape, {"type": "string"}) if isinstance(shape, str) else (_JSON, _ref(shape))
        )
        yield status, _reply(status, media, schema) if media else {"description": _phrase(status)}
    problems = {*route.problems, 400}
    problems |= {*_OF_ADMIN} if route.admin else {*_OF_HOOK} if route.hook else set()
    problems |= {*_OF_BODY} if route.method == "POST" else set()
    for status in problems - route.replies.keys():
        yield status, _reply(status, PROBLEM_TYPE, _ref(ProblemDocument))


def _reply(status: int, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": _phrase(status), "content": {media: {"schema": schema}}}


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _schemas(routes: _Routes) -> dict[str, Any]:
    bodies = {route.body for route in routes if _takes_body(route)}
    modes: dict[type, JsonSchemaMode] = dict.fromkeys(_reply_types(routes), "serialization")
    modes |= dict.fromkeys(bodies, "validation")
    shapes: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (kind.__name__, mode, TypeAdapter(kind)) for kind, mode in modes.items()
    ]
    _, schemas = TypeAdapter.json_schemas(shapes, ref_template=_REF)
    return dict(schemas["$defs"])


def _takes_body(route: Route) -> bool:
    return route.body is not RequestModel


def _reply_types(routes: _Routes) -> Iterator[type]:
    yield ProblemDocument
    for route in routes:
        yield from (model for model in route.replies.values() if isinstance(model, type))


def _ref(model: type) -> dict[str, Any]:
    return {"$ref": _REF.format(model=model.__name__)}
