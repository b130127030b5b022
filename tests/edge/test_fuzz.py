"""Whatever a client asks and a provider answers: no fault of ours, no traceback, no event out of place.

`python -m tests.fuzz` runs the same for as long as one likes.
"""

from tests.fuzz import Run


def test_any_request_with_any_answer_ends_as_the_api_says() -> None:
    run = Run()
    run(150)
    assert run.answered > run.asked / 3, "most requests were refused at the door: nothing behind it was tried"
