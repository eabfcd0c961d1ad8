"""The data plane's values to the JSON of a reply. Pure: the same value gives the same bytes."""

from collections.abc import Sequence
from typing import Any, assert_never

from msgspec.structs import asdict

from service.dataplane.types import (
    Anomalies,
    Answer,
    Attention,
    Choice,
    Chunk,
    Classification,
    Feed,
    Forecast,
    GenerationDone,
    GenerationEvent,
    GenerationUsage,
    Likelihood,
    ModelInfo,
    Prediction,
    Predictions,
    Regression,
    SessionInfo,
    StepReply,
    Tagging,
    TextPiece,
    TokenLogprob,
    Transcript,
    Written,
)
from service.errors import RecurError
from service.protocols.reply import to_json
from service.protocols.sse import frame
from service.protocols.status import error_body
from service.sessions.clock import iso


def predictions(result: Predictions) -> dict[str, Any]:
    """Raises the first error where every sequence failed."""
    raise_if_all_failed(result.results)
    return {
        "model": result.model,
        "version": result.version,
        "predictions": [
            error_body(row) if isinstance(row, RecurError) else prediction(row)
            for row in result.results
        ],
        "usage": {
            "sequences": len(result.results),
            "steps": sum([row.steps for row in result.results if isinstance(row, Prediction)]),
        },
    }


def feeds(chunks: list[Chunk], results: list[Feed | RecurError]) -> dict[str, Any]:
    """Raises the first error where every chunk failed."""
    raise_if_all_failed(results)
    rows: list[dict[str, Any]] = []
    steps = 0
    for chunk, result in zip(chunks, results, strict=True):
        if isinstance(result, RecurError):
            rows.append({"session_id": chunk.session_id} | error_body(result))
            continue
        row = step_reply(result.reply)
        if result.replayed:
            row["replayed"] = True
        else:
            steps += result.reply.prediction.steps
        rows.append(row)
    return {"results": rows, "usage": {"chunks": len(rows), "steps": steps}}


def raise_if_all_failed(results: Sequence[object]) -> None:
    """An answer in which nothing succeeded is its first error."""
    first = results[0]
    if isinstance(first, RecurError) and all(isinstance(row, RecurError) for row in results):
        raise first


def prediction(value: Prediction) -> dict[str, Any]:
    answer = _answer(value.answer)
    if value.attention is not None:
        answer["attention"] = _attention(value.attention)
    if value.outputs is not None:
        answer["outputs"] = value.outputs
    return answer


def step_reply(reply: StepReply) -> dict[str, Any]:
    return {
        "session_id": reply.session_id,
        "step": reply.step,
        "prediction": prediction(reply.prediction),
        "expires_at": iso(reply.expires_at),
    }


def generation(done: GenerationDone) -> dict[str, Any]:
    return {
        "model": done.model,
        "version": done.version,
        "choices": [_choice(choice) for choice in done.choices],
        "usage": _usage(done.usage),
    } | _place(done.session)


def generation_frame(event: GenerationEvent) -> bytes:
    """A generation's event as one of an event stream."""
    match event:
        case TextPiece():
            piece: dict[str, Any] = {"index": event.index, "text": event.text}
            if event.logprobs:
                piece["logprobs"] = [_logprob(token) for token in event.logprobs]
            return frame(to_json(piece))
        case GenerationDone():
            choices = [
                {"index": choice.index, "finish_reason": choice.finish_reason}
                for choice in event.choices
            ]
            done = {"choices": choices, "usage": _usage(event.usage)} | _place(event.session)
            return frame(to_json(done), event="done")


def session(info: SessionInfo) -> dict[str, Any]:
    return {
        "session_id": info.session_id,
        "model": info.model,
        "version": info.version,
        "step": info.step,
        "expires_at": iso(info.expires_at),
        "created_at": iso(info.created_at),
        "busy": info.busy,
        "state_bytes": info.state_bytes,
        "state_norms": info.state_norms,
        "metadata": info.metadata,
    }


def model(info: ModelInfo) -> dict[str, Any]:
    """OpenAI's four fields, then ours."""
    manifest = info.manifest
    shown = manifest.model_dump(mode="json")
    return {
        "id": manifest.name,
        "object": "model",
        "created": int(info.loaded_at),
        "owned_by": "recur",
        "version": manifest.version,
        "task": manifest.task.value,
        "causal": manifest.causal,
        "description": manifest.description,
        "licence": manifest.licence,
        "input": shown["input"],
        "output": shown["output"],
        "inputs": shown["graph"]["inputs"],
        "outputs": shown["graph"]["outputs"],
        "state": shown["graph"]["state"],
        "encoder": shown["encoder"],
        "memory": shown["graph"]["memory"],
        "limits": shown["limits"],
        "provenance": shown["provenance"],
        "digest": info.digest,
        "device": info.device,
        "precision": info.precision,
        "loaded_at": iso(info.loaded_at),
        "probe_difference": info.probe_difference,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    match answer:
        case Anomalies():
            return {"scores": answer.scores, "anomalies": answer.anomalies}
        case Classification():
            return {"label": answer.label, "probabilities": answer.named}
        case Forecast():
            quantiles = answer.quantiles
            named = {} if quantiles is None else {"quantiles": quantiles.named}
            return {"forecast": answer.forecast} | named
        case Regression(values=None):
            return {"value": answer.value, "unit": answer.unit}
        case Regression():
            return {"values": answer.values, "unit": answer.unit}
        case Likelihood():
            return {
                "log_likelihood": answer.log_likelihood,
                "perplexity": answer.perplexity,
                "tokens": answer.tokens,
                "token_log_likelihoods": answer.token_log_likelihoods,
            }
        case Tagging():
            return _tagging(answer)
        case Transcript():
            return {"text": answer.text, "score": answer.score, "times": answer.times}
        case Written():
            return _written(answer)
        case _:
            assert_never(answer)


def _attention(attention: Attention) -> dict[str, Any]:
    weights: dict[str, Any] = {"weights": attention.weights}
    return weights if attention.tokens is None else weights | {"tokens": attention.tokens}


def _tagging(answer: Tagging) -> dict[str, Any]:
    tagged: dict[str, Any] = {
        "tokens": answer.tokens,
        "tags": answer.tags,
        "tag_probabilities": answer.tag_probabilities,
    }
    if answer.words is not None:
        tagged["words"] = [asdict(word) for word in answer.words]
    if answer.intent is not None:
        tagged["intent"] = _answer(answer.intent)
    return tagged


def _written(answer: Written) -> dict[str, Any]:
    written: dict[str, Any] = {"text": answer.text, "score": answer.score}
    if answer.alignment is not None:
        written["alignment"] = asdict(answer.alignment)
    return written


def _choice(choice: Choice) -> dict[str, Any]:
    body = {"index": choice.index, "text": choice.text, "finish_reason": choice.finish_reason}
    if choice.logprobs is None:
        return body
    return body | {"logprobs": [_logprob(token) for token in choice.logprobs]}


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "top": token.top}


def _usage(usage: GenerationUsage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "reused_tokens": usage.reused_tokens,
    }


def _place(info: SessionInfo | None) -> dict[str, Any]:
    """Where a session stands after a generation."""
    if info is None:
        return {}
    return {
        "session_id": info.session_id,
        "step": info.step,
        "expires_at": iso(info.expires_at),
    }
