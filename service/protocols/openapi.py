"""The OpenAPI document of the operations. FastAPI cannot see into a plain endpoint; this can."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from service.dataplane.types import PRIORITIES
from service.protocols.body import JSON
from service.protocols.operation import DEADLINE_HEADER, PRIORITY_HEADER, Operation
from service.protocols.request_id import REQUEST_ID_HEADER
from service.protocols.tensors import MEDIA_TYPE

_REF = "#/components/schemas/{name}"

_PARAMETERS = {
    "model": "A model: `name`, `name@version` or `name@latest`.",
    "session_id": "The id of one of the caller's sessions.",
}

_FAILURES = {
    400: "The bytes are not what the route reads",
    401: "No key, or one that is not known",
    404: "No such model or session of the caller's",
    409: "The session exists, or is at another step",
    410: "The session is gone",
    413: "Over a limit that a setting names",
    415: "A media type or encoding that is not read",
    422: "Well-formed, but out of range or not what the model takes",
    426: "A plain request, where only a WebSocket's handshake is answered",
    429: "Over a quota; Retry-After says when to try again",
    499: "The client left",
    500: "The server's fault",
    503: "Starting, draining or overloaded; Retry-After says when to try again",
    504: "The deadline passed",
}


class ErrorDetail(msgspec.Struct):
    message: str
    type: str
    code: str
    param: str | None
    details: dict[str, Any]


class ErrorReply(msgspec.Struct):
    """Every error, of every route."""

    error: ErrorDetail


def describe(document: dict[str, Any], operations: Iterable[Operation]) -> dict[str, Any]:
    """`document`, as FastAPI makes it, with the operations' paths and schemas."""
    operations = tuple(operations)
    schemas = _Schemas(operations)
    paths: dict[str, Any] = document.setdefault("paths", {})
    for operation in operations:
        page = _page(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = page
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas.components)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


class _Schemas:
    """The JSON schema of each body type; structs are references into `components`."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        types: list[Any] = [ErrorReply]
        for operation in operations:
            types.extend(operation.replies.values())
            if operation.body is not None:
                types.append(operation.body.decoder.shape)
        types = list(dict.fromkeys(types))
        schemas, self.components = msgspec.json.schema_components(types, ref_template=_REF)
        self._of = dict(zip(types, schemas, strict=True))

    def of(self, body: Any) -> dict[str, Any]:
        return self._of[body]


def _page(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    page: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas),
    }
    if operation.description:
        page["description"] = operation.description
    if operation.body is not None:
        decoder = operation.body.decoder
        content: dict[str, Any] = {JSON: {"schema": schemas.of(decoder.shape)}}
        if MEDIA_TYPE in operation.body.media_types:
            schema = {"type": "string", "format": "binary", "description": operation.body.tensors}
            content[MEDIA_TYPE] = {"schema": schema}
        page["requestBody"] = {"required": decoder.required, "content": content}
    if operation.needs_key:
        page["security"] = [{"key": []}, {}]  # {}: a service without keys is open
    return page


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.begins_work:
        parameters += [
            {
                "name": DEADLINE_HEADER,
                "in": "header",
                "description": "Milliseconds within which the answer is of use",
                "schema": {"type": "number", "exclusiveMinimum": 0},
            },
            {
                "name": PRIORITY_HEADER,
                "in": "header",
                "description": "How much the work counts where several want the same model",
                "schema": {"type": "string", "enum": list(PRIORITIES), "default": "normal"},
            },
        ]
    return parameters


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    headers = {REQUEST_ID_HEADER: "The request's id, also in the log", **operation.headers}
    success: dict[str, Any] = {
        "description": "The answer",
        "headers": {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in headers.items()
        },
    }
    if operation.replies:
        success["content"] = {
            media_type: {"schema": schemas.of(body)}
            for media_type, body in operation.replies.items()
        }
    failure = {"application/json": {"schema": schemas.of(ErrorReply)}}
    return {str(operation.status): success} | {
        str(status): {"description": _FAILURES[status], "content": failure}
        for status in operation.failures
    }
