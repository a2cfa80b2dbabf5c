"""Time in the emulated AWS.

AWS answers most calls at once and works on for seconds or minutes; callers watch states. Here such work is a list of
events, each due after so many seconds of AWS's time multiplied by the setting `speed`. Events that are due happen before
the next request is answered, in order, under the same lock as requests; there is no thread of its own.
"""

import heapq
import itertools
import time

from . import settings

_events = []
_order = itertools.count()


def now():
    """Seconds since 1970."""
    return time.time()


def after(seconds, what, *arguments):
    """Does something so many seconds of AWS's time from now."""
    heapq.heappush(_events, (time.monotonic() + seconds * settings.get("speed"), next(_order), what, arguments))


def run():
    """Does what is due. What that makes due itself waits for the next request: with a `speed` of 0 it would never end."""
    until = time.monotonic()
    while _events and _events[0][0] <= until:
        _, _, what, arguments = heapq.heappop(_events)
        what(*arguments)


def reset():
    _events.clear()
