"""Which models there are, and what each of them is."""

from service.protocols.exchange import Exchange
from service.protocols.native import render
from service.protocols.native.schemas import ModelList, ModelReply
from service.protocols.operation import Front, Operation
from service.protocols.reply import Reply, json_reply


async def list_models(front: Front, _exchange: Exchange) -> Reply:
    data = [render.model(info) for info in front.plane.models()]
    return json_reply({"object": "list", "data": data})


async def get_model(front: Front, exchange: Exchange) -> Reply:
    info = front.plane.model(exchange.params["model"])
    exchange.model = info.manifest.name
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
