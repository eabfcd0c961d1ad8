"""Every instrument of the service, with the names that dashboards rely on: they do not change."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.telemetry.tally import Tally, TallyHistogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """One value holds them all; the registry is injected, so that tests have their own.

    Label values come from what the service knows (served models, its own protocols and error
    codes), never from a request's text.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        # A number of a tally belongs to one thread: to the event loop, but for those of a batch.
        self.requests = Tally(
            "recur_requests",
            "Requests by outcome.",
            ["protocol", "model", "outcome"],
            registry=registry,
        )
        self.request_seconds = TallyHistogram(
            "recur_request_seconds",
            "From a parsed request to its answer.",
            ["protocol", "model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.event_loop_lag_seconds = TallyHistogram(
            "recur_event_loop_lag_seconds",
            "How late the event loop ran a timer: what holds it up holds up every client.",
            [],
            buckets=_LAGS,
            registry=registry,
        )
        self.queue_seconds = TallyHistogram(
            "recur_queue_seconds",
            "From a sequence's arrival to its first step.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.step_seconds = TallyHistogram(
            "recur_step_seconds",
            "One call of the runtime.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_rows = TallyHistogram(
            "recur_batch_rows",
            "Rows of one call of the runtime.",
            ["model"],
            buckets=_ROWS,
            registry=registry,
        )
        self.batch_steps = TallyHistogram(
            "recur_batch_steps",
            "Time steps of one call of the runtime.",
            ["model"],
            buckets=_STEPS,
            registry=registry,
        )
        self.padding_ratio = TallyHistogram(
            "recur_padding_ratio",
            "Share of a call's row steps that were padding.",
            ["model"],
            buckets=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75),
            registry=registry,
        )
        self.time_to_first_token_seconds = TallyHistogram(
            "recur_time_to_first_token_seconds",
            "From a parsed request to its first token.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.inter_token_seconds = TallyHistogram(
            "recur_inter_token_seconds",
            "Between two tokens of one choice.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Tally("recur_tokens", "Tokens generated.", ["model"], registry=registry)
        self.sessions = Gauge("recur_sessions", "Live sessions.", ["state"], registry=registry)
        self.session_bytes = Gauge(
            "recur_session_bytes",
            "Bytes of the states and kept replies of live sessions.",
            registry=registry,
        )
        self.session_ends = Counter(
            "recur_session_ends", "Sessions gone.", ["reason"], registry=registry
        )
        self.steps_replayed = Counter(
            "recur_steps_replayed",
            "Retried steps answered from the replay window.",
            registry=registry,
        )
        self.step_conflicts = Counter(
            "recur_step_conflicts",
            "Steps refused because the session is elsewhere.",
            registry=registry,
        )
        self.shed = Counter(
            "recur_shed", "Work refused or dropped unexecuted.", ["reason"], registry=registry
        )
        self.model_info = Gauge(
            "recur_model_info",
            "1 for each model that is served.",
            ["model", "version", "task", "device"],
            registry=registry,
        )
        self.model_ready = Gauge(
            "recur_model_ready",
            "1 for each configured model that is served, 0 for one that is not.",
            ["model"],
            registry=registry,
        )
        self.model_load_seconds = Gauge(
            "recur_model_load_seconds",
            "Load, verification and warm-up of the served version.",
            ["model"],
            registry=registry,
        )
