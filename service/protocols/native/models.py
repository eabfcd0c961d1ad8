"""Which models there are, and what each of them is."""

from starlette.requests import Request
from starlette.responses import Response

from service.protocols.exchange import exchange_of
from service.protocols.native import render
from service.protocols.native.schemas import ModelList, ModelReply
from service.protocols.operation import Front, Operation
from service.protocols.reply import json_reply


async def list_models(front: Front, _request: Request) -> Response:
    data = [render.model(info) for info in front.plane.models()]
    return json_reply({"object": "list", "data": data})


async def get_model(front: Front, request: Request) -> Response:
    info = front.plane.model(request.path_params["model"])
    exchange_of(request.scope).model = info.manifest.name
    return json_reply(render.model(info))


OPERATIONS = (
    Operation(
        name="list_models",
        method="GET",
        path="/v1/models",
        endpoint=list_models,
        summary="List the served models",
        replies={"application/json": ModelList},
        failures=(401, 500),
    ),
    Operation(
        name="get_model",
        method="GET",
        path="/v1/models/{model}",
        endpoint=get_model,
        summary="Signature, task, state, limits and provenance of a model",
        replies={"application/json": ModelReply},
        failures=(401, 404, 500),
    ),
)
