"""What the hand-written peers read and answer."""

import json

from pydantic import BaseModel


class Classify(BaseModel):
    tokens: list[int]


class Step(BaseModel):
    session: int
    tokens: list[int]


class Generate(BaseModel):
    tokens: list[int]
    max_tokens: int


def event(token: int) -> str:
    return f"data: {json.dumps({'token': token})}\n\n"
