"""The registry's metrics. All are shareable: they count versions, runs and records, nothing computed from rows."""

from tacit.runtime.inbox import INVALID
from tacit.runtime.loop import LOOP_METRICS
from tacit.runtime.observing import LOG_LINES, Label, Metric, MetricKind, Metrics
from tacit.versions import SERVING_ALIAS, Catalogue, Stage

REJECTED = Metric(
    "tacit_registry_runs_rejected_total",
    MetricKind.COUNTER,
    "Finished runs that do not follow from their records, or whose model cannot be published; alerts on any.",
    shareable=True,
)
WAITING = Metric(
    "tacit_registry_runs_waiting",
    MetricKind.GAUGE,
    "Finished runs whose records are not all on the log yet; alerts if it stays above 0.",
    shareable=True,
)
VERSIONS = Metric(
    "tacit_registry_versions",
    MetricKind.GAUGE,
    "Published versions by stage.",
    labels=(Label("stage", tuple(Stage)),),
    shareable=True,
)
CONFLICTS = Metric(
    "tacit_registry_conflicts",
    MetricKind.GAUGE,
    "Published versions whose parent was not the newest version; an operator who made the plan looks at growth.",
    shareable=True,
)
REFUSED_MOVES = Metric(
    "tacit_registry_alias_moves_refused_total",
    MetricKind.COUNTER,
    "Moves of an alias asked for over HTTP and refused, by reason.",
    labels=(Label("reason", ("denied", "conflict")),),
    shareable=True,
)
DAMAGED = Metric(
    "tacit_registry_artefacts_damaged_total",
    MetricKind.COUNTER,
    "Reads that met a model file with another digest than its name; alerts on any: the disk is not to be trusted.",
    shareable=True,
)
TROUBLE = Metric(
    "tacit_registry_storage_failures_total",
    MetricKind.COUNTER,
    "Steps that database or artefact store failed; the step is repeated.",
    shareable=True,
)
SERVING = Metric(
    "tacit_model_version_info",
    MetricKind.GAUGE,
    "The version that each model's serving alias points to.",
    labels=(Label("model"), Label("version"), Label("stage")),
    shareable=True,
)

TABLE = (
    *LOOP_METRICS,
    LOG_LINES,
    INVALID,
    REJECTED,
    WAITING,
    VERSIONS,
    CONFLICTS,
    REFUSED_MOVES,
    DAMAGED,
    TROUBLE,
    SERVING,
)
"""Every metric of the registry."""


def show_catalogue(metrics: Metrics, catalogue: Catalogue) -> None:
    """Sets the gauges that follow from the versions topic."""
    entries = catalogue.entries.values()
    for stage in Stage:
        metrics.set(VERSIONS.name, sum(entry.stage is stage for entry in entries), stage=stage)
    metrics.set(CONFLICTS.name, sum(bool(entry.conflict) for entry in entries))
    serving = [(key[0], state) for key, state in catalogue.aliases.items() if key[1] == SERVING_ALIAS]
    for number, (model, state) in enumerate(sorted(serving, key=lambda pair: pair[0])):
        # The first one clears the series of versions that served before.
        show = metrics.set if number else lambda name, _value, **labels: metrics.state(name, **labels)
        show(SERVING.name, 1.0, model=model, version=state.version, stage=Stage.SERVING)
