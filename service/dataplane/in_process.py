"""The verbs done right here: what needs no waiting is dressed as if it did."""

from service.dataplane.plane import DataPlane
from service.dataplane.types import Call, OpenRequest, SessionInfo


class InProcess:
    """`Verbs` of a data plane in this process."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.models = plane.models
        self.model = plane.model
        self.predict = plane.predict
        self.feed = plane.feed
        self.feed_many = plane.feed_many
        self.generate = plane.generate
        self.session_generate = plane.session_generate

    async def open_session(self, ref: str, request: OpenRequest, *, call: Call) -> SessionInfo:
        return self._plane.open_session(ref, request, call=call)

    async def fork_session(
        self, session_id: str, *, call: Call, new_id: str | None = None
    ) -> SessionInfo:
        return self._plane.fork_session(session_id, call=call, new_id=new_id)

    async def session(self, session_id: str, *, call: Call) -> SessionInfo:
        return self._plane.session(session_id, call=call)

    async def sessions(self, *, call: Call) -> list[SessionInfo]:
        return self._plane.sessions(call=call)

    async def end_session(self, session_id: str, *, call: Call) -> SessionInfo:
        return self._plane.end_session(session_id, call=call)
