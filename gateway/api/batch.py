"""Many questions in one request, as those who plan routes have them."""

import asyncio
import logging

from pydantic import Field

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import Answer, Body, QuoteRequest, QuoteView
from gateway.api.problems import ProblemBody, problem_body, problem_of, unexpected
from gateway.api.translating import need_of, quote_view
from gateway.domain.access import Role
from gateway.planning.answers import RefusedError
from gateway.planning.asking import AskError

MAX_NEEDS = 100

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
    answered = []
    for request in call.body.needs:
        answered.append(_answered(call, request))
        await asyncio.sleep(0)
    return BatchView(quotes=answered)


def _answered(call: Call, request: QuoteRequest) -> AnsweredView:
    bookings = call.sources.bookings
    try:
        quote = bookings.quote(need_of(request, bookings.places), call.access)
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
