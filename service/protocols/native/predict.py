"""One or many ragged sequences in, an answer or an error for each of them out."""

from service.protocols.body import BodyDecoder, Form
from service.protocols.exchange import Exchange
from service.protocols.native import binary, codec, render
from service.protocols.native.answers import ToJson, written
from service.protocols.native.schemas import PredictBody, PredictReply, tensors
from service.protocols.operation import Front, Operation
from service.protocols.reply import JSON, Reply, json_reply, tensors_reply, wants_tensors
from service.protocols.tensors import MEDIA_TYPE

_FORM = Form(
    BodyDecoder(PredictBody, sequences="inputs"),
    codec.read_predict,
    binary.read_predict,
    tensors=binary.PREDICT,
)


async def predict(front: Front, exchange: Exchange) -> Reply:
    ask = await front.ask(exchange, _FORM)
    call = front.call(exchange, deadline_ms=ask.deadline_ms)
    model, inputs = exchange.params["model"], ask.inputs
    work = front.plane.predict(
        model, inputs, call=call, raw=ask.raw, explain=ask.explain, search=ask.search
    )
    result = await front.finish(exchange, work)
    exchange.model = result.model

    def write(to_json: ToJson) -> Reply:
        if wants_tensors(exchange) and (answer := binary.predictions(result)) is not None:
            return tensors_reply(answer)
        return json_reply(render.predictions(result), to_json=to_json)

    return await written(result.results, write)


OPERATIONS = (
    Operation(
        name="predict",
        method="POST",
        path="/v1/models/{model}/predict",
        endpoint=predict,
        summary="Predict one or many sequences, each from the zero state",
        description=(
            "A seq2seq model answers with the best text that a search finds for each source; "
            "`beam_width`, `length_penalty` and `max_tokens` are the search's."
        ),
        replies={JSON: PredictReply, MEDIA_TYPE: tensors(binary.PREDICTIONS)},
        failures=(400, 401, 404, 413, 415, 422, 429, 499, 500, 503, 504),
        body=_FORM,
        begins_work=True,
    ),
)
