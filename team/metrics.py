"""What the service counts, for Prometheus. No text, no name of a person, a file or a session.

Names and bounds of what OpenTelemetry's conventions for generative AI know are theirs, as
Prometheus spells them (semantic-conventions, docs/gen-ai/gen-ai-metrics.md, status development).
"""

from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inference import Completion, Engine, EngineState
from team import guard
from team.settings import ServiceSettings
from team.wire import Refused, refusal

DURATIONS: Final = tuple(0.01 * 2**power for power in range(14))
FIRST_TOKEN: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0),
)
EACH_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
OPERATION: Final = "text_completion"

OUTCOMES: Final = {
    200: "answered",
    401: "no_token",
    403: "foreign",
    429: "over_quota",
    499: "left",
    503: "busy",
}


class Metrics:
    """`registry` holds all of them; a service has its own, so that two in a process share none."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("gen_ai_operation_name", "gen_ai_request_model")
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request to its answer.",
            labels,
            buckets=DURATIONS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request to the first token, with what it waited.",
            labels,
            buckets=FIRST_TOKEN,
            registry=self.registry,
        )
        self._each_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "For each token behind the first.",
            labels,
            buckets=EACH_TOKEN,
            registry=self.registry,
        )
        self._requests = Counter(
            "inkling_requests",
            "Requests by route and by what became of them.",
            ("route", "outcome"),
            registry=self.registry,
        )
        self._queue = Histogram(
            "inkling_queue_seconds",
            "What a request waited before work on it began.",
            buckets=DURATIONS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "inkling_tokens",
            "Tokens that were read, were known already, and were written.",
            ("kind",),
            registry=self.registry,
        )
        self._ends = Counter(
            "inkling_completions",
            "Completions by why they end where they do, and by who knew them.",
            ("finish_reason", "origin"),
            registry=self.registry,
        )
        self._gauges = [
            Gauge(name, said, registry=self.registry)
            for name, said in (
                ("inkling_requests_waiting", "Requests that wait or run."),
                ("inkling_engine_ready", "1 with a model."),
                ("inkling_engine_restarts", "How often the engine came back."),
            )
        ]

    def count(self, route: str, status: int) -> None:
        """Count a request by the status it was answered with; 499 was for nobody any more."""
        outcome = OUTCOMES.get(status, "refused" if status < 500 else "failed")
        self._requests.labels(route, outcome).inc()

    def observe(self, completion: Completion, model: str, seconds: float) -> None:
        """Take what a completion cost; `seconds` are from the request to the answer."""
        timings, tokens = completion.timings, completion.tokens
        self._ends.labels(completion.finish_reason.value, completion.origin).inc()
        self._tokens.labels("read").inc(tokens.prompt - tokens.reused)
        self._tokens.labels("known").inc(tokens.reused)
        self._tokens.labels("written").inc(tokens.generated)
        self._duration.labels(OPERATION, model).observe(seconds)
        self._queue.observe(timings.queue_ms / 1000)
        if tokens.generated:
            first_ms = timings.queue_ms + timings.first_token_ms
            self._first_token.labels(OPERATION, model).observe(first_ms / 1000)
        if tokens.generated > 1:
            each_ms = timings.decode_ms / (tokens.generated - 1)
            self._each_token.labels(OPERATION, model).observe(each_ms / 1000)

    async def page(self) -> bytes:
        """Return all of them in Prometheus's text."""
        return generate_latest(self.registry)

    def watch(self, engine: Engine, num_waiting: Callable[[], int]) -> None:
        """Show from now on how an engine is and how many wait for it, when somebody looks."""
        waiting, ready, restarts = self._gauges
        waiting.set_function(num_waiting)
        ready.set_function(lambda: engine.status().state is EngineState.READY)
        restarts.set_function(lambda: engine.status().num_restarts)


class Paged(Protocol):
    async def page(self) -> bytes: ...


def metrics_app(metrics: Paged, settings: ServiceSettings) -> Starlette:
    """Return what answers `/metrics`, and nothing else, on a port of its own."""

    async def show(request: Request) -> Response:
        try:
            guard.check(request.scope["headers"], b"/metrics", settings)
        except Refused as refused:
            return refusal(refused)
        return Response(await metrics.page(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/metrics", show, methods=["GET"])])
