"""One HTTP request as Quart serves it on Trio, with three habits of Quart's and Hypercorn's taken away."""

from typing import Any

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from quart.wrappers import Request as QuartRequest
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers.request import TrioBody, TrioRequest

LAST_SEND_WITHIN = 60.0  # seconds for a reader to take the last bytes


class HouseBody(TrioBody):
    """A request's body that raises `MemoryError` in who waits for it, where there is no room for it."""

    def append(self, data: bytes) -> None:
        """Take what has arrived."""
        try:
            super().append(data)
        except MemoryError as error:
            self.clear()
            self._must_raise = error
            self.set_complete()


class HouseRequest(TrioRequest):
    """A request that knows its own nursery: whatever is started there ends with the request."""

    body_class = HouseBody
    nursery: trio.Nursery


class Connection(TrioASGIHTTPConnection):
    """Gives each request its nursery, and cancels it when the client hangs up.

    - No response time-out: Quart's (60 s) cuts longer streams without a word. The exchange has deadlines.
    - The last send is shielded: with `Connection: close` Hypercorn reports the disconnect from within that
      send, and being cancelled there leaves the socket open for ever.
    - A client that is done is no hang-up: once the last part is on its way, disconnects mean nothing.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the request."""
        request = self._create_request_from_scope(send)
        assert isinstance(request, HouseRequest)  # noqa: S101 - the app sets this class
        async with trio.open_nursery() as nursery:
            request.nursery = nursery
            nursery.start_soon(self.handle_messages, nursery, request, receive)
            await self.handle_request(nursery, request, send)

    async def handle_request(  # type: ignore[override]  # as its Trio parent does
        self, nursery: trio.Nursery, request: QuartRequest, send: ASGISendCallable
    ) -> None:
        """Run the view and send what it returns, however long that takes."""
        response = await self.app.handle_request(request)
        await self._send_response(_shielding_the_last(send), response)
        nursery.cancel_scope.cancel()


def _shielding_the_last(send: ASGISendCallable) -> Any:  # ASGISendCallable is a protocol with a method body
    async def shielding(event: ASGISendEvent) -> None:
        if event["type"] != "http.response.body" or event["more_body"]:
            await send(event)
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_SEND_WITHIN):
            await send(event)

    return shielding
