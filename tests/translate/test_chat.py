"""A request on the Chat Completions wire, as whoever carries it sees it."""

import json

from ccproxy_trio.translate import wires
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.faults import FaultKind, Refused, UpstreamFault

BODY = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}).encode()


def question(dialect: Dialect) -> wires.Question:
    target = Target(provider="p", model="up", dialect=dialect)
    return wires.put(Asked(request=decode_request(BODY), body=BODY), target)


def test_it_goes_out_translated_and_without_anything_of_the_clients_beside_it() -> None:
    outgoing = question(Dialect()).outgoing()
    assert json.loads(outgoing.body)["model"] == "up"
    assert (outgoing.headers, outgoing.query, outgoing.credential) == ((), "", None)


def test_what_was_refused_of_it_is_put_in_another_way() -> None:
    fault = UpstreamFault(
        FaultKind.UNSUPPORTED_PARAMETER, refused=(Refused(parameter="stream_options", objection="parameter"),)
    )
    found = question(Dialect()).repair(fault, Dialect())
    assert found is not None
    assert b"stream_options" not in question(found.dialect).outgoing().body
    assert question(Dialect()).repair(UpstreamFault(FaultKind.RESET), Dialect()) is None
