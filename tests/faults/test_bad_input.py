"""Bad rows, bad plans, bad entries and bad requests, all through the real entry points: refused, and nothing stops."""

import contextlib
import datetime as dt
import json
import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from federation_processes import BANKS, DELTA, Running, check_bank, known_run, lay_out, plan_for, settings_of
from tacit import canonical
from tacit.cli.layout import OPERATOR, Folder
from tacit.federation import Cap
from tacit.learning.types import Learner
from tacit.rounds.types import Header, Kind, LeadBody, Place, context
from tacit.runtime.log import MAX_VALUE_BYTES
from tacit.wire import envelope, inner, topics
from tacit.wire.envelope import SigningKey

pytestmark = pytest.mark.integration

ASH = "ash"
MIB = 2**20


def rows_of(running: Running, bank: str) -> Path:
    """A bank's file of transactions."""
    return running.folder.bank(bank) / "data" / "transactions.parquet"


def change(running: Running, bank: str, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Replaces a bank's rows."""
    path = rows_of(running, bank)
    changed = how(pl.read_parquet(path))
    changed.write_parquet(path)


def objection(running: Running, bank: str, run: str) -> str:
    """What a bank's own port says of a run."""
    runs = running.get(f"{bank}.bank", "/v1/runs")
    return str(next(item["objection"] for item in runs if item["run"] == run))


# Rows

UNFIT = {
    "missing": (lambda rows: rows.drop("amount"), ("amount", "no such column")),
    "renamed": (lambda rows: rows.rename({"terminal_id": "terminal_idd"}), ("terminal_id", "terminal_idd")),
    "wrong type": (lambda rows: rows.with_columns(pl.col("amount").cast(pl.String)), ("amount", "a number", "String")),
    "no file": (None, ("no *.parquet file",)),
}


def test_columns_that_do_not_fit_are_said_at_the_bank_alone(running: Running) -> None:
    """The federation learns one code; the difference, with the nearest name, is for the bank's operator."""
    running.start(*running.everything())
    path = rows_of(running, ASH)
    whole = path.read_bytes()
    for name, (how, words) in UNFIT.items():
        if how is None:
            path.unlink()
        else:
            change(running, ASH, how)
        run = running.submit(plan_for(running.folder))
        view = running.ended(run)
        assert (view["outcome"], view["refused"], view["roster"]) == ("FINISHED", {ASH: "CONTRACT"}, list(BANKS[1:])), (
            name
        )
        assert all(word in objection(running, ASH, run) for word in words), name
        refused = next(r for r in running.fold().of(ASH, Kind.REFUSED).values() if r.header.run.hex() == run)
        assert b"terminal_idd" not in canonical.encode(str(refused.body))
        path.write_bytes(whole)
    assert running.ended(running.submit(plan_for(running.folder)))["roster"] == list(BANKS)


def dirty(rows: pl.DataFrame) -> pl.DataFrame:
    """NaN, infinite and negative amounts, repeated ids, missing customers, unseen terminals, one huge customer."""
    number = pl.int_range(pl.len())
    amount = pl.when(number % 97 == 0).then(float("nan")).when(number % 97 == 1).then(-5.0).otherwise(pl.col("amount"))
    amount = pl.when(number % 97 == 2).then(float("inf")).otherwise(amount)
    customer = pl.when(number % 97 == 3).then(None).otherwise(pl.col("customer_id"))
    terminal = pl.lit("terminal-") + pl.col("terminal_id").cast(pl.String)
    spoilt = rows.with_columns(amount=amount, customer_id=customer, terminal_id=terminal)
    one = pl.concat([spoilt.filter(pl.col("customer_id").is_not_null()).head(1)] * 10_000)
    flood = one.with_columns(transaction_id=pl.int_range(pl.len(), dtype=pl.Int64) + 7 * 10**12)
    flood = flood.with_columns(time=pl.col("time") + pl.duration(seconds=pl.int_range(pl.len()) * 400))
    flood = flood.with_columns(label_time=pl.col("time") + pl.duration(days=7))
    return pl.concat([spoilt, spoilt.slice(spoilt.height // 2, 50), flood])


def shareable(running: Running, bank: str) -> dict[str, str]:
    """What others may scrape of a trainer about its part in runs."""
    text = httpx.get(f"{running.url(f'{bank}.health')}/metrics").text
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("tacit_trainer_"))
    return {name: value for name, value in samples.items() if "_created" not in name}


def test_dirty_rows_no_rows_and_no_fraud_take_part_like_any_other(running: Running) -> None:
    """Whatever depends on rows is for the bank alone: each bank joins, answers every slot and finishes."""
    change(running, ASH, dirty)
    change(running, "birch", lambda rows: rows.clear())
    change(running, "cedar", lambda rows: rows.with_columns(fraud=pl.lit(0, pl.UInt8)))
    running.start(*running.everything())
    run = running.submit(plan_for(running.folder))
    view = running.ended(run)
    assert (view["outcome"], view["roster"], view["refused"]) == ("FINISHED", list(BANKS), {})
    running.settled(run)
    found = running.fold()
    done = found.state.runs[bytes.fromhex(run)]
    assert found.deviation(done) == ""
    sizes = {len(found.of(bank, Kind.RELEASE)) for bank in BANKS}
    assert sizes == {len(done.results)}
    faults = {(line["field"], line["fault"]) for line in running.said(f"trainer-{ASH}", "rows_at_fault")}
    assert {field for field, _ in faults} >= {"amount", "customer", "transaction"}
    assert not running.said("trainer-cedar", "rows_at_fault")
    shown = [shareable(running, bank) for bank in BANKS]
    assert shown[0] == shown[1] == shown[2]
    assert shown[0]['tacit_trainer_runs_total{outcome="finished"}'] == "1.0"
    running.stop(*(f"trainer-{bank}" for bank in BANKS))
    for bank in BANKS:
        check_bank(running, found, done, bank)


# Plans


def post(running: Running, document: Any, operator: SigningKey | None = None) -> httpx.Response:  # noqa: ANN401  JSON
    """Submits a document as a signed plan, whatever it is."""
    data = canonical.encode(document)
    signature = (operator or running.operator).sign(inner.plan_input(data)).hex()
    body = {"plan_json": data.decode(), "operator": OPERATOR, "signature": signature}
    return httpx.post(f"{running.url(topics.AGGREGATOR)}/v1/runs", json=body, timeout=30.0)


WRONG_PLANS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "epsilon 0": (lambda plan: plan.update(epsilon=0), "epsilon"),
    "epsilon -1": (lambda plan: plan.update(epsilon=-1), "epsilon"),
    "epsilon 65": (lambda plan: plan.update(epsilon=65), "epsilon"),
    "epsilon text": (lambda plan: plan.update(epsilon="much"), "epsilon"),
    "delta": (lambda plan: plan.update(delta=1), "delta"),
    "unknown field": (lambda plan: plan.update(colour="red"), "colour"),
    "missing field": (lambda plan: plan.pop("window"), "window"),
    "unknown mode": (lambda plan: plan.update(mode="open"), "mode"),
    "no rounds": (lambda plan: plan["learner"].update(rounds=0), "learner.rounds"),
    "nonce": (lambda plan: plan.update(nonce="1"), "nonce"),
    "another manifest": (lambda plan: plan.update(manifest=canonical.label(bytes(32))), "manifest"),
    "another federation": (lambda plan: plan.update(federation="elsewhere"), "federation"),
    "another contract": (lambda plan: plan.update(contract=canonical.label(bytes(32))), "contract"),
    "no plan": (lambda plan: plan.clear(), "missing"),
}


def test_plans_that_cannot_be_are_refused_with_the_field_named(running: Running) -> None:
    """A problem document each, nothing on the log, and the next good plan is taken."""
    running.start(topics.AGGREGATOR)
    running.url(topics.AGGREGATOR)
    good = json.loads(canonical.encode(plan_for(running.folder)))
    for name, (spoil, word) in WRONG_PLANS.items():
        document = json.loads(json.dumps(good))
        spoil(document)
        answer = post(running, document)
        assert answer.status_code == 422, name
        assert answer.headers["content-type"] == "application/problem+json"
        assert word in answer.json()["detail"], (name, answer.json())
    assert post(running, good, SigningKey.generate()).status_code == 422
    assert running.get(topics.AGGREGATOR, "/v1/runs") == {"runs": []}
    assert post(running, good).status_code == 202
    assert post(running, good).status_code == 200


def test_plans_that_banks_do_not_want_are_refused_by_code(running: Running) -> None:
    """Expired, with labels still to come, above the cap: a code on the log, the reason at the bank; then a good one."""
    lay_out_again = lay_out(running.folder.path.with_name("tight"), Cap(Fraction(3), DELTA))
    settings_of(lay_out_again)
    running.folder = Folder(lay_out_again.path)
    running.start(*running.everything())
    plan = plan_for(running.folder)
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    early = replace(plan.window, end=yesterday)
    cases = {
        "POLICY": (replace(plan, not_after=yesterday), "good until"),
        "POLICY ": (replace(plan, window=early, nonce=secrets.token_hex(32)), "final on"),
        "BUDGET": (replace(plan, epsilon=Fraction(5), nonce=secrets.token_hex(32)), "cap"),
    }
    for code, (wrong, word) in cases.items():
        run = running.submit(wrong)
        view = running.ended(run)
        assert (view["outcome"], view["reason"]) == ("ABORTED", "QUORUM"), code
        assert view["refused"] == dict.fromkeys(BANKS, code.strip())
        assert word in objection(running, ASH, run)
    ledger = running.get(f"{ASH}.bank", "/v1/ledger")
    assert ledger["lifetime"]["charged_nano"] == 0
    assert running.ended(running.submit(plan))["outcome"] == "FINISHED"


# Entries


def wrong_lead(running: Running, key: SigningKey, sender: str) -> bytes:
    """A LEAD that somebody signed."""
    place = Place("small", plan_manifest(running))
    header = Header("small", place.manifest, b"", 0, 0, Kind.LEAD, sender, context(place), b"", b"")
    return envelope.seal(header, LeadBody(bytes(32), "mallory", b""), key).value


def plan_manifest(running: Running) -> bytes:
    """Digest of the epoch."""
    return canonical.parse_label(plan_for(running.folder).manifest)


def test_bad_entries_are_counted_and_change_nothing(running: Running) -> None:
    """Noise, torn and forged records, another bank's records, a replay, the largest entry: the run does not care."""
    running.start(*running.everything())
    first = running.submit(plan_for(running.folder))
    assert running.ended(first)["outcome"] == "FINISHED"
    running.settled(first)
    control, own, other = topics.control().name, *(topics.bank("tacit", bank).name for bank in BANKS[:2])
    record, end = running.entries(own)[1], running.entries(control)[-1]
    flipped = bytearray(record)
    flipped[-1] ^= 1
    forged = wrong_lead(running, SigningKey.generate(), topics.AGGREGATOR)
    by_bank = wrong_lead(running, SigningKey.load(running.folder.key(ASH)), ASH)
    invalid = [secrets.token_bytes(300), b"", record[: len(record) // 2], bytes(flipped), bytes(MAX_VALUE_BYTES)]
    with closing(running.log()) as log:
        for topic in (control, own):
            for value in invalid:
                log.append(topic, b"x", value)
        for topic, value in ((other, record), (control, record), (control, forged), (control, by_bank)):
            log.append(topic, b"x", value)
        for _ in range(10):
            log.append(own, ASH.encode(), record)
        for _ in range(3):
            log.append(control, b"aggregator", end)
    run = running.submit(plan_for(running.folder))
    assert running.ended(run)["outcome"] == "FINISHED"
    running.settled(run)
    evidence = running.get(topics.AGGREGATOR, "/v1/evidence")
    assert sum(evidence["invalid"]["counts"].values()) == 2 * len(invalid) + 4
    assert {item["topic"] for item in evidence["invalid"]["first"]} == {control, own, other}
    assert all(item["reason"] for item in evidence["invalid"]["first"])
    assert evidence["void"]["counts"]["repeat"] == 10 + 3
    assert evidence["equivocations"] == []
    found = running.fold()
    for known in (first, run):
        assert found.deviation(found.state.runs[bytes.fromhex(known)]) == ""
    assert sum(found.invalid.values()) == 2 * len(invalid) + 4


# Requests

BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 422),
    "not JSON": (b"{", 422),
    "not UTF-8": (b"\xff\xfe", 422),
    "null": (b"null", 422),
    "list": (b"[]", 422),
    "deep": (b"[" * 100_000, 400),
    "unknown": (b'{"plan": 1}', 422),
    "types": (b'{"plan_json": 1, "operator": [], "signature": null}', 422),
    "long": (json.dumps({"plan_json": "x" * 100_000, "operator": "o", "signature": "0" * 128}).encode(), 422),
    "large": (b" " * (MIB + 1), 413),
}


def test_requests_of_any_form_get_an_answer(running: Running) -> None:
    """Problems of class 4xx for every one of them; the process is the same one afterwards."""
    running.start(topics.AGGREGATOR)
    url = running.url(topics.AGGREGATOR)
    pid = running.processes[topics.AGGREGATOR].pid
    for path in ("/v1/runs", f"/v1/runs/{'0' * 64}:cancel"):
        for name, (body, status) in BODIES.items():
            answer = httpx.post(url + path, content=body, headers={"content-type": "application/json"}, timeout=30.0)
            assert answer.status_code == status, (path, name, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    # The service closes the connection before such a body is over, so that its answer may be lost.
    with contextlib.suppress(httpx.TransportError):
        assert httpx.post(f"{url}/v1/runs", content=b" " * (64 * MIB)).status_code == 413
    for method, path, status in (("GET", "/v1/runs/zz", 404), ("DELETE", "/v1/runs", 405), ("GET", "/../etc", 404)):
        assert httpx.request(method, url + path).status_code == status
    assert running.url(topics.AGGREGATOR) == url
    assert running.processes[topics.AGGREGATOR].pid == pid
    assert running.said(topics.AGGREGATOR, "request_failed") == []


def test_requests_of_any_form_get_an_answer_at_the_bank(running: Running) -> None:
    """The bank's own port: unknown and wrong run ids."""
    running.start(*running.everything())
    url = running.url(f"{ASH}.bank")
    run = known_run(plan_for(running.folder, learner=Learner(rounds=1, average=1)))
    for path, status in (("zz", 422), ("00", 404), (run, 404)):
        assert httpx.post(f"{url}/v1/runs/{path}:leave").status_code == status
    assert httpx.get(f"{url}/v1/local").status_code == 404
    assert httpx.post(f"{url}/v1/ledger/backups/..%2Fx").status_code in {404, 422}
