"""Many questions in one request, as those who plan routes have them."""

import asyncio
import logging
from dataclasses import replace

from pydantic import Field

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import Answer, Body, QuoteRequest, QuoteView
from gateway.api.problems import ProblemBody, problem_body, problem_of, unexpected
from gateway.api.translating import need_of, quote_view
from gateway.domain.access import Role
from gateway.domain.needs import Criticality
from gateway.planning.answers import RefusedError
from gateway.planning.asking import AskError
from gateway.planning.quote import Verdict

MAX_NEEDS = 100
THINKS_FOR_S = 10.0
"""After so long what is critical of a batch is thought over no more: whoever asked it waits."""

NOT_THOUGHT_OVER = (
    "Whether promises could move for it was not looked at, for the needs before it took the time:"
    " ask for it alone."
)

_log = logging.getLogger(__name__)


class BatchRequest(Body):
    """What several vehicles need, or one at several places and times; each is asked alone."""

    needs: list[QuoteRequest] = Field(min_length=1, max_length=MAX_NEEDS)


class AnsweredView(Answer):
    """The answer to one need: a quote, or why there is none."""

    quote: QuoteView | None
    problem: ProblemBody | None


class BatchView(Answer):
    """The answers, in the order of the needs. Offers of two quotes may be for the same room."""

    quotes: list[AnsweredView]


async def ask_quotes(call: Call) -> BatchView:
    """Answer each of many needs; everything else gets its turn between them."""
    assert isinstance(call.body, BatchRequest)
    call.charge(len(call.body.needs) - 1)
    answered, clock = list[AnsweredView](), call.sources.clock
    thinks_until_s = clock.monotonic_s() + THINKS_FOR_S
    for request in call.body.needs:
        in_time = clock.monotonic_s() < thinks_until_s
        answered.append(await _answered(call, request, thoroughly=in_time))
        await asyncio.sleep(0)
    return BatchView(quotes=answered)


async def _answered(call: Call, request: QuoteRequest, *, thoroughly: bool) -> AnsweredView:
    bookings = call.sources.bookings
    try:
        need = need_of(request, bookings.places)
        if thoroughly:
            quote = await bookings.quote_thoroughly(need, call.access)
        else:
            quote = bookings.quote(need, call.access)
            if need.criticality is Criticality.CRITICAL and quote.verdict is not Verdict.YES:
                quote = replace(quote, reason=f"{quote.reason} {NOT_THOUGHT_OVER}")
    except (AskError, RefusedError) as error:
        return AnsweredView(quote=None, problem=problem_body(problem_of(error)))
    except Exception:  # noqa: BLE001 - whatever it is, the other needs have their answers
        _log.exception("a need of a batch met a fault")
        return AnsweredView(quote=None, problem=problem_body(unexpected()))
    return AnsweredView(quote=quote_view(quote, bookings.places), problem=None)


BATCHES: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/quotes/batch",
        role=Role.VEHICLE_OPERATOR,
        summary="Ask for many vehicles at once; each need counts as a request of the quota",
        answering=ask_quotes,
        answer=BatchView,
        body=BatchRequest,
    ),
)
