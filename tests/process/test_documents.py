"""A PDF on its way to a model that cannot read it, through a real proxy."""

import base64

import pytest

from tests.conftest import Providers, StartProxy
from tests.support.client import asks, post
from tests.support.pdfs import encrypted, pdf_of

pytestmark = pytest.mark.process

PDF = pdf_of("Canary of page one.", "And of page two.")


def document(data: bytes) -> dict[str, object]:
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
    return {"type": "document", "title": "report.pdf", "source": source}


async def test_the_text_reaches_the_provider_and_is_the_same_every_turn(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider.entry(profile="vllm"))
    turn = {"role": "user", "content": [{"type": "text", "text": "Read it."}, document(PDF)]}
    further = [{"role": "assistant", "content": "Read."}, {"role": "user", "content": "And?"}]
    assert (await post(proxy, asks(messages=[turn]))).status_code == 200
    assert (await post(proxy, asks(messages=[turn, *further]))).status_code == 200
    first, second = (request.messages[0]["content"] for request in provider.requests)
    assert first == second
    assert first == (
        "Read it.\n\ntitle: report.pdf\n[PDF as text, 2 pages]\n\n[page 1]\nCanary of page one.\n\n"
        "[page 2]\nAnd of page two."
    )


async def test_a_pdf_that_cannot_be_read_is_a_note(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider.entry(profile="vllm"))
    content = [document(encrypted(PDF, password="secret"))]
    assert (await post(proxy, asks(messages=[{"role": "user", "content": content}]))).status_code == 200
    assert "not available here, the PDF is encrypted" in provider.requests[0].text_of("user")
    assert "Canary of page one." not in proxy.output
