"""Asks a front desk as the daemon's own socket does."""

import json
from collections.abc import Mapping
from typing import Any

from gateway.adapters.status_socket import Question
from gateway.front_desk import QUOTE, FrontDesk


async def quoted_here(desk: FrontDesk, words: Mapping[str, object]) -> Any:
    """Return what somebody on this machine is answered to a need."""
    said = desk.answers()[QUOTE](Question(ask=QUOTE, words=dict(words)))
    return json.loads(said if isinstance(said, bytes) else await said)
