"""Steps of sessions, one or many in a request. Asked again, a step answers the same."""

from service.dataplane.types import Feed
from service.protocols.body import BodyDecoder, Form
from service.protocols.exchange import Exchange
from service.protocols.native import binary, codec, render
from service.protocols.native.answers import ToJson, written
from service.protocols.native.replayed import REPLAYED_HEADERS, replayed
from service.protocols.native.schemas import StepBody, StepReply, StepsBody, StepsReply, tensors
from service.protocols.operation import Front, Operation
from service.protocols.reply import JSON, Reply, json_reply, tensors_reply, wants_tensors
from service.protocols.tensors import MEDIA_TYPE

STEP_FORM = Form(BodyDecoder(StepBody), codec.read_step, binary.read_step, tensors=binary.STEP)
_STEPS_FORM = Form(
    BodyDecoder(StepsBody, sequences="steps"),
    codec.read_steps,
    binary.read_steps,
    tensors=binary.STEPS,
)


async def step(front: Front, exchange: Exchange) -> Reply:
    ask = await front.ask(exchange, STEP_FORM)
    call = front.call(exchange, deadline_ms=ask.deadline_ms)
    session_id = exchange.params["session_id"]
    work = front.plane.feed(session_id, ask.inputs, call=call, step=ask.step, raw=ask.raw)
    feed = await front.finish(exchange, work)
    exchange.model = feed.model
    headers = replayed(feed.replayed)

    def write(to_json: ToJson) -> Reply:
        if wants_tensors(exchange):
            return tensors_reply(binary.feed(feed), headers=headers)
        return json_reply(render.step_reply(feed.reply), headers=headers, to_json=to_json)

    return await written((feed,), write)


async def steps(front: Front, exchange: Exchange) -> Reply:
    ask = await front.ask(exchange, _STEPS_FORM)
    call = front.call(exchange, deadline_ms=ask.deadline_ms)
    results = await front.finish(exchange, front.plane.feed_many(ask.chunks, call=call))
    exchange.model = next((feed.model for feed in results if isinstance(feed, Feed)), None)

    def write(to_json: ToJson) -> Reply:
        if wants_tensors(exchange) and (answer := binary.feeds(ask.chunks, results)) is not None:
            return tensors_reply(answer)
        return json_reply(render.feeds(ask.chunks, results), to_json=to_json)

    return await written(results, write)


OPERATIONS = (
    Operation(
        name="step_session",
        method="POST",
        path="/v1/sessions/{session_id}/steps",
        endpoint=step,
        summary="Advance a session by one chunk of a sequence",
        replies={JSON: StepReply, MEDIA_TYPE: tensors(binary.FEEDS)},
        failures=(400, 401, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503, 504),
        headers=REPLAYED_HEADERS,
        body=STEP_FORM,
        begins_work=True,
    ),
    Operation(
        name="step_sessions",
        method="POST",
        path="/v1/sessions:step",
        endpoint=steps,
        summary="Advance many sessions, each by one chunk or several; one that fails, fails alone",
        replies={JSON: StepsReply, MEDIA_TYPE: tensors(binary.FEEDS)},
        failures=(400, 401, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503, 504),
        body=_STEPS_FORM,
        begins_work=True,
    ),
)
