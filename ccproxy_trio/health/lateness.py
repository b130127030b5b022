"""Telling a provider that was slow from a proxy that did not run.

A stopped process, a suspended machine and a laptop's closed lid look alike from inside: the clock has jumped
and every deadline fires at once. Whoever was waited for may have answered long ago; its bytes lie in a buffer
that nobody read. So a deadline that fires much later than it was due blames nobody.
"""

LATE = 2.0  # seconds; a busy machine is late by less


def was_late(due_at: float, now: float) -> bool:
    """Whether what was due at `due_at` happened so late, at `now`, that we cannot have been running."""
    return now - due_at > LATE
