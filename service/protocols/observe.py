"""What operators and orchestrators ask: is it alive, is it ready, what does it measure."""

import msgspec

from service.protocols.exchange import Exchange
from service.protocols.operation import Front, Operation
from service.protocols.reply import Reply, json_reply


class Live(msgspec.Struct):
    live: bool


class Ready(msgspec.Struct):
    ready: bool
    models: dict[str, str]


async def live(_front: Front, _exchange: Exchange) -> Reply:
    return json_reply({"live": True})


async def ready(front: Front, _exchange: Exchange) -> Reply:
    return json_reply({"ready": True, "models": front.health.ready_models()})


async def metrics(front: Front, exchange: Exchange) -> Reply:
    text = await front.telemetry.exposition(exchange.header(b"accept"))
    return Reply(text.body, headers=((b"content-type", text.content_type.encode()),))


OPERATIONS = (
    Operation(
        name="live",
        method="GET",
        path="/healthz/live",
        endpoint=live,
        summary="Whether the process answers at all",
        replies={"application/json": Live},
        failures=(500,),
        needs_key=False,
    ),
    Operation(
        name="ready",
        method="GET",
        path="/healthz/ready",
        endpoint=ready,
        summary="Whether the service, with all of its models, may be sent work",
        replies={"application/json": Ready},
        failures=(500, 503),
        needs_key=False,
    ),
    Operation(
        name="metrics",
        method="GET",
        path="/metrics",
        endpoint=metrics,
        summary="Measurements for Prometheus; OpenMetrics where the Accept header asks for it",
        replies={"text/plain": str, "application/openmetrics-text": str},
        failures=(500,),
        needs_key=False,
    ),
)
