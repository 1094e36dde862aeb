"""What dashboards see: gauges follow the machine, and nothing of the bank's own is shareable."""

from scorer_cases import MODELS, World, document_of, label
from tacit.runtime.observing import Metrics
from tacit.scorer import metrics, views
from tacit.scorer.views import Gauges

SHAREABLE = {
    "tacit_loop_turned_timestamp_seconds",
    "tacit_log_outages_total",
    "tacit_log_away",
    "tacit_log_lines_total",
    "tacit_invalid_records_total",
}


def measured_of(world: World, scorer: object) -> tuple[Metrics, Gauges]:
    """Fresh metrics of a scorer."""
    measured = Metrics(metrics.TABLE)
    return measured, Gauges(scorer, measured)  # type: ignore[arg-type]


def test_only_the_logs_figures_are_shareable() -> None:
    """Scores, verdicts and choices stay in the bank: the allow-list of the shareable port is exact."""
    assert {metric.name for metric in metrics.TABLE if metric.shareable} == SHAREABLE


def test_a_view_tells_what_serves() -> None:
    """Live, wanted and previous with thresholds, as plain data."""
    world = World()
    scorer = world.serving()
    seen = views.model_view(scorer)
    assert seen["live"]["file"] == label(MODELS[0])
    assert seen["live"]["thresholds"] == {"review": 0.0, "decline": 2.0}
    assert (seen["wanted"], seen["previous"], seen["obstacle"]) == (seen["live"]["version"], None, None)


def test_a_view_tells_what_is_waited_for() -> None:
    """The obstacle is told in words."""
    world = World()
    scorer = world.serving()
    wanted = world.registry.publish(MODELS[1])
    world.step(scorer)
    seen = views.model_view(scorer)
    assert seen["wanted"] == wanted != seen["live"]["version"]
    assert seen["obstacle"].startswith("verdict: ")


def test_gauges_follow_the_machine() -> None:
    """Model, time of loading, waiting and refusals are what the machine says."""
    world = World()
    scorer = world.serving()
    measured, gauges = measured_of(world, scorer)
    gauges.update()
    text = measured.expose(bank_only=True).decode()
    assert f'tacit_model_version_info{{choice="global",model="card-fraud",version="{scorer.wanted}"}} 1.0' in text
    assert f"tacit_model_loaded_timestamp_seconds {scorer.loaded}" in text
    assert "tacit_model_waiting 0.0" in text


def test_refusals_are_counted_once() -> None:
    """Two updates after one refusal count it once; the next refusal counts one more."""
    world = World()
    scorer = world.serving()
    measured, gauges = measured_of(world, scorer)
    world.registry.publish(MODELS[1])
    world.step(scorer)
    gauges.update()
    gauges.update()
    assert 'refused_total{obstacle="verdict"} 1.0' in measured.expose(bank_only=True).decode()
    world.trainer.document = document_of(MODELS[1], verdict="no")
    world.step(scorer)
    gauges.update()
    text = measured.expose(bank_only=True).decode()
    assert 'refused_total{obstacle="verdict"} 2.0' in text
    assert "tacit_model_waiting 1.0" in text


def test_the_old_version_leaves_the_dashboard() -> None:
    """After a swap one version is stated, not two."""
    world = World()
    scorer = world.serving()
    measured, gauges = measured_of(world, scorer)
    gauges.update()
    world.registry.publish(MODELS[1])
    world.trainer.document = document_of(MODELS[1])
    world.step(scorer)
    gauges.update()
    text = measured.expose(bank_only=True).decode()
    assert text.count("tacit_model_version_info{") == 1
    assert f'version="{scorer.wanted}"' in text


def test_nothing_bank_only_is_on_the_shareable_side() -> None:
    """The shareable exposition has no score and no version."""
    world = World()
    measured, gauges = measured_of(world, world.serving())
    gauges.update()
    text = measured.expose().decode()
    assert "tacit_score" not in text
    assert "tacit_model" not in text


def test_invalid_records_are_shown() -> None:
    """Entries that are no records are counted."""
    world = World()
    world.log.append("tacit.versions.v1", b"registry", b"noise")
    measured, gauges = measured_of(world, world.serving())
    gauges.update()
    gauges.update()
    assert 'tacit_invalid_records_total{reason="malformed"} 1.0' in measured.expose().decode()
