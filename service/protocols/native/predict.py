"""One or many ragged sequences in, an answer or an error for each of them out."""

from service.protocols.body import BodyDecoder
from service.protocols.exchange import Exchange
from service.protocols.native import render
from service.protocols.native.codec import read_sequence
from service.protocols.native.schemas import PredictBody, PredictReply
from service.protocols.operation import Front, Operation
from service.protocols.reply import Reply, json_reply

_BODY = BodyDecoder(PredictBody)


async def predict(front: Front, exchange: Exchange) -> Reply:
    body = await front.read(exchange, _BODY)
    sequences = [read_sequence(raw, f"inputs[{index}]") for index, raw in enumerate(body.inputs)]
    call = front.call(exchange, deadline_ms=body.deadline_ms)
    work = front.plane.predict(exchange.params["model"], sequences, call=call, raw=body.raw)
    result = await front.finish(exchange, work)
    exchange.model = result.model
    return json_reply(render.predictions(result))


OPERATIONS = (
    Operation(
        name="predict",
        method="POST",
        path="/v1/models/{model}/predict",
        endpoint=predict,
        summary="Predict one or many sequences, each from the zero state",
        replies={"application/json": PredictReply},
        failures=(400, 401, 404, 413, 415, 422, 429, 499, 500, 503, 504),
        body=_BODY,
        begins_work=True,
    ),
)
