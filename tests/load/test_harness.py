"""The harness itself: its answers are right, its figures are there, a wrong answer is noticed."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.load import graphs, holds, websocket
from tests.load.compare import (
    BULK,
    BULK_2,
    HTTP,
    SOCKETS,
    STREAMS,
    Options,
    closed,
    compare,
    opened,
)
from tests.load.connection import Connection, Socket
from tests.load.contenders import handmade, ours, plain
from tests.load.drive import Answer
from tests.load.figures import LIMIT, Case, Figures, Results, Run
from tests.load.models import write_models
from tests.load.picture import draw
from tests.load.reference import Reference, WrongAnswer, check
from tests.load.report import report
from tests.load.results import write_section
from tests.load.wire import Request
from tests.load.wires import OurWire, PeerWire
from tests.load.workload import (
    MAX_STEPS,
    MEDIAN_STEPS,
    MIN_STEPS,
    Work,
    generate_work,
    sequence_lengths,
    step_work,
)

SHORT = Options(seconds=0.3, warm_seconds=0.1, rounds=1, clients=(3,), shares=(0.5,), tokens=6)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.mark.slow
def test_everyone_is_measured_on_every_work_and_answers_right(models: Path):
    results = Results()
    everyone = [plain(), handmade(), ours("ours", {})]
    compare(models, everyone, SHORT, results=results, say=lambda _: None)

    assert results.absent == []
    for contender in everyone:
        more = (BULK, BULK_2, SOCKETS) if contender.is_ours else ()
        for case in (closed(3), opened(0.5), HTTP, STREAMS, *more):
            (figures,) = results.of(contender.name, case).values()
            assert figures.rate > 0, (contender.name, case)
            assert figures.cpu_us > 0, (contender.name, case)
            assert 0 < figures.first_p50_ms <= figures.p50_ms <= figures.p99_ms
            assert figures.checked > 0, (contender.name, case)
    assert results.median(LIMIT, Case("classify", LIMIT), lambda figures: figures.rate)


def test_a_classification_that_is_a_little_off_is_noticed(models: Path):
    reference = Reference(models, "random-classifier")
    request = PeerWire().classify(np.arange(5))
    logits = reference.run(np.arange(5))[-1]
    work = Work("classify", PeerWire(), ((request,),))

    assert check(reference, work, ((answer(request, logits),),), near=1e-4) == 1
    logits[3] += 0.01
    with pytest.raises(WrongAnswer, match="off"):
        check(reference, work, ((answer(request, logits),),), near=1e-4)


def test_a_session_that_has_forgotten_its_first_step_is_noticed(models: Path):
    reference = Reference(models, "random-steps")
    work = step_work(PeerWire(), 1)
    requests, opening = work.lanes[0][:3], work.opening[0][0]
    chunks = np.concatenate([opening.rows[0], *(request.rows[0] for request in requests)])
    remembered, forgotten = reference.run(chunks)[1:], reference.run(chunks[1:])

    kept = tuple(map(answer, requests, remembered))
    assert check(reference, work, (kept,), near=1e-4) == 3
    with pytest.raises(WrongAnswer, match="off"):
        check(reference, work, (tuple(map(answer, requests, forgotten)),), near=1e-4)


def test_a_stream_whose_third_token_is_not_the_likeliest_is_noticed(models: Path):
    reference = Reference(models, "random-lm")
    work = generate_work(PeerWire(), 1, num_tokens=4)
    ((request,),) = work.lanes
    tokens: list[int] = []
    for _ in range(4):
        context = np.array([0, *request.rows[0], *tokens])  # 0 is the model's start token
        tokens.append(int(reference.run(context)[-1].argmax()))

    assert check(reference, work, ((stream_answer(request, tokens),),), near=1e-4) == 1
    tokens[2] = (tokens[2] + 1) % 96
    with pytest.raises(WrongAnswer, match="token 2"):
        check(reference, work, ((stream_answer(request, tokens),),), near=1e-4)


def test_a_stream_of_ours_that_was_cut_off_is_noticed():
    with pytest.raises(ValueError, match="the stream ends with"):
        OurWire().tokens(chunked(b'data: {"index":0,"text":"a"}\n\n'))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_events_are_counted_however_the_bytes_are_cut(size: int):
    connection, ends = connected(Connection(0))
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in (b"data: 1\n\n", b"data: 2\n\n"))
    for piece in pieces(data + b"0\r\n\r\n", size):
        assert not ends
        connection.data_received(piece)

    assert (connection.num_events, connection.status, len(ends)) == (2, 200, 1)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("length", [0, 125, 126, 70_000])
def test_a_socket_reads_frames_of_every_length_however_they_are_cut(size: int, length: int):
    socket, ends = connected(Socket(0))
    socket.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert (ends.pop(), socket.status) == (socket, 101)
    for piece in pieces(frame(b"x" * length), size):
        socket.data_received(piece)

    assert (socket.status, socket.body) == (200, b"x" * length)


async def test_a_socket_speaks_with_a_server_that_others_wrote():
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(lambda: Socket(0), "127.0.0.1", port)
        await socket.ask(Request(websocket.upgrade("/")))
        assert socket.status == 101
        for text in (b"a", b"b" * 200, b"c" * 60_000):
            assert await socket.ask(Request(websocket.masked(text))) == text
        socket.close()


@pytest.mark.parametrize("length", [0, 5, 125, 126, 1000, 65_535, 65_536])
def test_a_masked_frame_unmasks_to_what_it_was_made_of(length: int):
    content = bytes(i % 251 for i in range(length))
    data = websocket.masked(content)
    mask, hidden = data[-length - 4 : len(data) - length], data[len(data) - length :]
    shown = bytes(byte ^ mask[i % 4] for i, byte in enumerate(hidden))

    assert data[1] & 0x80
    assert shown == content


def test_a_report_holds_our_figures_against_the_goals():
    results = Results()
    for number, rate in enumerate((900, 1000, 1200)):
        for name, times in ((LIMIT, 1.25), ("plain", 0.5), ("ours", 1.0)):
            figures = Figures(rate=rate * times, cpu_us=1.0, p50_ms=2.0, p99_ms=3.0)
            case = Case("classify", LIMIT) if name == LIMIT else closed(32)
            results.runs.append(Run(number, name, case, figures))
    text = report(results, [ours("ours", {})])

    assert "| classify, 32 clients, sequences/s: of the limit | >= 0.75 x | 0.80 x | met |" in text
    assert "against plain | >= 2.80 x | 2.00 x | **missed** |" in text
    assert "against triton | >= 1.60 x | not measured |  |" in text
    assert "| 32 clients | ours | 1,000 |" in text


def test_a_picture_is_drawn_of_what_there_is(tmp_path: Path):
    results = Results()
    for clients in (1, 2, 4):
        figures = Figures(rate=100.0 * clients, cpu_us=1.0, p50_ms=2.0, p99_ms=3.0)
        results.runs.append(Run(0, "ours", closed(clients), figures))
        results.runs.append(Run(0, "else", closed(clients), replace(figures, p99_ms=9.0)))
    draw(results, tmp_path / "picture.png")

    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_section_of_the_page_is_replaced_and_nothing_else(tmp_path: Path):
    page = tmp_path / "RESULTS.md"
    page.write_text("above\n<!-- soak -->\n\nold\n\n<!-- end of soak -->\nbelow\n")
    write_section("soak", "new\n", page)

    assert page.read_text() == ("above\n<!-- soak -->\n\nnew\n\n<!-- end of soak -->\nbelow\n")


def test_lengths_are_ragged_and_the_same_for_the_same_seed():
    lengths = sequence_lengths(10_000, seed=3)

    assert lengths.min() == MIN_STEPS
    assert lengths.max() == MAX_STEPS
    assert abs(np.median(lengths) - MEDIAN_STEPS) <= 1
    assert (sequence_lengths(10_000, seed=3) == lengths).all()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def answer(request, logits) -> Answer:
    return Answer(request, json.dumps({"logits": logits.tolist()}).encode())


def stream_answer(request, tokens: list[int]) -> Answer:
    content = "".join(f"data: {json.dumps({'token': token})}\n\n" for token in tokens)
    return Answer(request, chunked(content.encode()))


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)


def frame(content: bytes) -> bytes:
    """A server's."""
    size = len(content)
    if size < 126:
        return bytes([0x81, size]) + content
    if size < 1 << 16:
        return bytes([0x81, 126]) + size.to_bytes(2) + content
    return bytes([0x81, 127]) + size.to_bytes(8) + content


def connected(connection: Connection) -> tuple[Connection, list[Connection]]:
    """And the list that it puts itself into at the end of an answer."""
    ends: list[Connection] = []
    connection.on_answer = ends.append
    return connection, ends


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@pytest.mark.slow
def test_each_form_of_a_graph_is_timed(models: Path, capsys: pytest.CaptureFixture[str]):
    folder = min(models.glob("*/1"))
    graphs.main([folder])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(graphs.SHAPES)
    assert "float32" in lines[0]


@pytest.mark.slow
async def test_bodies_that_mean_ill_are_answered_or_refused():
    app = holds.application()
    statuses = {name: await holds.ask(app, *request) for name, request in holds.asked().items()}
    assert set(statuses.values()) <= {200, 400, 413, 422}, statuses
    assert statuses["sequences: texts"] == statuses["tensors: lengths"] == 413
