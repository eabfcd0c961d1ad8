"""Models come, go and are replaced on disk; what serves goes on serving."""

import asyncio
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from service.artifact.artifact import dump_probe, load_artifact
from service.engine.continuations import Finished, Read
from service.engine.engine import Row
from service.errors import DeviceUnavailable, Draining, ModelNotFound, SessionLost, Starting
from tests.service.artifact.forging import change_graph, replace_files, set_field
from tests.service.artifacts import save_babble, save_parity, save_running_total
from tests.service.dataplane.serving import call
from tests.service.registry.running import TOTAL, model_info, running, until_drained


async def test_every_model_of_the_folder_is_served_at_its_highest_version(tmp_path: Path) -> None:
    save_running_total(tmp_path, version=9)
    save_running_total(tmp_path, version=10, scale=2)
    save_babble(tmp_path)
    save_parity(tmp_path)
    async with running(tmp_path) as it:
        assert it.versions() == {"babble": 1, "parity": 1, TOTAL: 10}
        assert it.registry.ready
        assert set(it.registry.readiness().values()) == {"ready"}
        assert await it.total(1, 2) == 6
        assert it.metric("model_info", **model_info(10)) == 1


async def test_only_the_configured_names_and_versions_are_served(tmp_path: Path) -> None:
    save_running_total(tmp_path, version=1)
    save_running_total(tmp_path, version=2)
    save_babble(tmp_path)
    save_parity(tmp_path)
    async with running(tmp_path, models=(f"{TOTAL}@1", "babble")) as it:
        assert it.versions() == {"babble": 1, TOTAL: 1}
        with pytest.raises(ModelNotFound):
            it.plane.model("parity")
        save_running_total(tmp_path, version=3)
        await it.registry.refresh()
        assert it.versions()[TOTAL] == 1


@pytest.mark.parametrize("missing", ["nobody", f"{TOTAL}@7"])
async def test_a_configured_model_that_is_not_there_is_said_so(
    missing: str, tmp_path: Path
) -> None:
    save_running_total(tmp_path)
    save_babble(tmp_path)
    async with running(tmp_path, models=(missing, "babble")) as it:
        assert not it.registry.ready
        states = it.registry.readiness()
        assert states.pop("babble") == "ready"
        assert "RECUR_MODELS_DIR" in states[missing.partition("@")[0]]
        with pytest.raises(Starting):
            it.plane.model(missing)


async def test_an_empty_folder_is_not_ready(tmp_path: Path) -> None:
    async with running(tmp_path / "nowhere") as it:
        assert not it.registry.ready
        assert it.registry.readiness() == {}


async def test_a_reference_is_to_the_version_that_is_served(tmp_path: Path) -> None:
    save_running_total(tmp_path, version=2)
    async with running(tmp_path) as it:
        for ref in (TOTAL, f"{TOTAL}@2", f"{TOTAL}@latest"):
            assert it.plane.model(ref).manifest.version == 2
        for ref in (f"{TOTAL}@1", "nobody", "No Name", "../running-total"):
            with pytest.raises(ModelNotFound):
                it.plane.model(ref)


async def test_a_broken_model_leaves_the_others_serving_and_says_why(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    folder = save_babble(tmp_path)
    (folder / "model.onnx").write_bytes(b"broken")
    async with running(tmp_path) as it:
        assert await it.total(1, 2) == 3
        assert not it.registry.ready
        assert it.registry.readiness()[TOTAL] == "ready"
        assert "model.onnx" in it.registry.readiness()["babble"]
        with pytest.raises(Starting):
            it.plane.model("babble")


async def test_a_model_that_is_mended_is_picked_up(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(b"broken")
    async with running(tmp_path) as it:
        assert it.versions() == {}
        (folder / "model.onnx").write_bytes(whole)
        # As tools do that keep the times of what they copy.
        os.utime(folder / "model.onnx", (0, 0))
        await it.registry.refresh()
        assert it.registry.ready


async def test_a_broken_new_version_leaves_the_old_one_serving(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        set_field(save_running_total(tmp_path, version=2), "causal", "perhaps")
        await it.registry.refresh()
        assert it.versions() == {TOTAL: 1}
        assert it.registry.ready


async def test_numbers_that_differ_from_those_at_export_are_refused(tmp_path: Path) -> None:
    other = save_running_total(tmp_path / "other", scale=1.01)
    folder = save_running_total(tmp_path / "models")
    replace_files(folder, {"model.onnx": (other / "model.onnx").read_bytes()})
    async with running(tmp_path / "models") as it:
        assert "differs" in it.registry.readiness()[TOTAL]
        assert "forecast" in it.registry.readiness()[TOTAL]


async def test_a_state_that_differs_from_that_at_export_is_refused(tmp_path: Path) -> None:
    folder = save_running_total(tmp_path)
    probe = load_artifact(folder).probe
    probe.state[0][0, 0, 0] += 1
    replace_files(folder, {"probe.npz": dump_probe(probe)})
    async with running(tmp_path) as it:
        assert "total_out" in it.registry.readiness()[TOTAL]


async def test_a_graph_that_onnx_runtime_refuses_is_said_so(tmp_path: Path) -> None:
    def break_it(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "NoSuchOperator"

    change_graph(save_running_total(tmp_path), break_it)
    async with running(tmp_path) as it:
        assert "does not load" in it.registry.readiness()[TOTAL]


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="there is a CUDA provider"
)
async def test_a_device_that_is_not_there_stops_everything(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    with pytest.raises(DeviceUnavailable):
        async with running(tmp_path, device="cuda"):
            pass


async def test_odd_things_in_the_folder_do_not_stop_the_service(tmp_path: Path) -> None:
    folder = save_running_total(tmp_path)
    (folder / ".#manifest.json").symlink_to("someone@host.1234")
    odd = tmp_path / "odd" / "01"
    odd.mkdir(parents=True)
    (odd / "manifest.json").write_text("{}")
    async with running(tmp_path) as it:
        assert await it.total(1) == 1


async def test_a_version_whose_folder_is_gone_is_served_and_described(tmp_path: Path) -> None:
    folder = save_running_total(tmp_path)
    async with running(tmp_path) as it:
        before = it.plane.model(TOTAL).digest
        shutil.rmtree(folder)
        await it.registry.refresh()
        assert await it.total(1) == 1
        assert it.plane.model(TOTAL).digest == before
        assert [info.digest for info in it.plane.models()] == [before]


async def test_a_new_version_takes_over_and_the_old_one_ends(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        assert await it.total(1, 2) == 3
        save_running_total(tmp_path, version=2, scale=10)
        await it.registry.refresh()
        assert await it.total(1, 2) == 30
        await until_drained(it, 1)
        assert it.metric("model_info", **model_info(2)) == 1


async def test_work_in_flight_ends_on_the_version_on_which_it_began(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        begun = asyncio.create_task(it.total(*([1] * 50_000)))
        while not it.registry.in_flight:  # noqa: ASYNC110 - a count, no event
            await asyncio.sleep(0)
        save_running_total(tmp_path, version=2, scale=10)
        await it.registry.refresh()
        assert await begun == 50_000
        assert await it.total(1) == 10


async def test_a_session_stays_on_its_version_until_it_ends(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        assert it.open("old") == 1
        assert await it.feed("old", 1) == 1
        save_running_total(tmp_path, version=2, scale=10)
        await it.registry.refresh()
        assert it.open("new") == 2
        assert await it.feed("old", 2) == 3
        assert await it.feed("new", 2) == 20
        assert it.plane.fork_session("old", call=call(), new_id="fork").version == 1
        assert it.plane.session("old", call=call()).version == 1
        for name in ("old", "fork"):
            it.plane.end_session(name, call=call())
        await until_drained(it, 1)
        assert await it.feed("new", 1) == 30


async def test_a_version_that_is_held_does_not_end_between_two_pieces_of_work(
    tmp_path: Path,
) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        old = it.registry.get(TOTAL)
        steps = np.ones((2, 1), np.float32)
        row = Row(steps, old.runtime.initial_state(), Read(old.runtime.per_step))
        with old.engine.hold():
            save_running_total(tmp_path, version=2)
            await it.registry.refresh()
            for _ in range(20):  # unheld, it ends at once
                await asyncio.sleep(0)
            (end,) = await old.engine.submit([row], deadline=None).ends()
        assert isinstance(end, Finished)
        await until_drained(it, 1)
        with pytest.raises(Draining):
            old.engine.submit([row], deadline=None)


async def test_a_session_that_outstays_the_drain_is_lost(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path, drain_seconds=0.05) as it:
        it.open("old")
        save_running_total(tmp_path, version=2)
        await it.registry.refresh()
        assert it.open("new") == 2
        await until_drained(it, 1)
        with pytest.raises(SessionLost):
            await it.feed("old", 1)
        assert await it.feed("new", 1) == 1


@pytest.mark.slow
async def test_going_back_to_a_version_that_still_drains_keeps_its_sessions(
    tmp_path: Path,
) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path, drain_seconds=0.6) as it:
        it.open("first")
        assert await it.feed("first", 1) == 1
        newer = save_running_total(tmp_path, version=2, scale=10)
        await it.registry.refresh()
        assert it.open("second") == 2
        shutil.rmtree(newer)
        await it.registry.refresh()
        assert it.versions() == {TOTAL: 1}
        assert it.open("third") == 1
        await until_drained(it, 2)
        with pytest.raises(SessionLost):
            await it.feed("second", 1)
        assert await it.feed("first", 2) == 3
        assert await it.feed("third", 4) == 4
        assert it.metric("model_info", **model_info(1)) == 1


async def test_a_refresh_that_finds_nothing_new_changes_nothing(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        before = it.registry.get(TOTAL)
        await it.registry.refresh()
        assert it.registry.get(TOTAL) is before


async def test_closing_ends_every_engine(tmp_path: Path) -> None:
    save_running_total(tmp_path)
    async with running(tmp_path) as it:
        it.open("old")
        save_running_total(tmp_path, version=2)
        await it.registry.refresh()
        old, new = it.registry.pinned(TOTAL, 1), it.registry.pinned(TOTAL, 2)
        await it.registry.close(timeout_seconds=1)
        assert old.engine.in_flight == new.engine.in_flight == 0
        with pytest.raises(Exception, match="being replaced or shut down"):
            await it.total(1)
