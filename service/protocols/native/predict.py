"""One or many ragged sequences in, an answer or an error for each of them out."""

from starlette.requests import Request
from starlette.responses import Response

from service.protocols.body import BodyDecoder
from service.protocols.exchange import exchange_of
from service.protocols.native import render
from service.protocols.native.codec import read_sequence
from service.protocols.native.schemas import PredictBody, PredictReply
from service.protocols.operation import Front, Operation
from service.protocols.presence import while_connected
from service.protocols.reply import json_reply

_BODY = BodyDecoder(PredictBody)


async def predict(front: Front, request: Request) -> Response:
    body = await front.read(request, _BODY)
    sequences = [read_sequence(raw, f"inputs[{index}]") for index, raw in enumerate(body.inputs)]
    call = front.call(request, deadline_ms=body.deadline_ms)
    work = front.plane.predict(request.path_params["model"], sequences, call=call, raw=body.raw)
    result = await while_connected(request.receive, work)
    exchange_of(request.scope).model = result.model
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
