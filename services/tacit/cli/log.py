"""`tacit log`: the records of a federation, for people."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tacit.cli.text import examples

if TYPE_CHECKING:
    from tacit.federation import Manifest
    from tacit.runtime.log import Entry, Log
    from tacit.wire.envelope import KeyRing

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Show the federation's log.")

BATCH = 500


@dataclass(frozen=True)
class Line:
    """One entry of the log.

    Attributes:
        topic: Its topic.
        offset: Its place there.
        digest: Its digest, hexadecimal; empty for bytes that are no record.
        kind: Its kind; empty if it is invalid.
        sender: Who signed it.
        run: Run id, hexadecimal, or empty.
        round: Round.
        slot: Slot.
        seq: Place in the sender's chain; 0 for roles.
        time: Sender's clock, advisory.
        invalid: Why it counts for nothing; empty for a valid record. A valid one may still be void in its run.
    """

    topic: str
    offset: int
    digest: str = ""
    kind: str = ""
    sender: str = ""
    run: str = ""
    round: int = 0
    slot: int = 0
    seq: int = 0
    time: str = ""
    invalid: str = ""


@app.callback()
def group() -> None:
    """Show the federation's log."""


@app.command(epilog=examples("tacit log show --dir demo", "tacit log show --dir demo --topic ash --last 5 --json"))
def show(
    directory: Annotated[Path | None, typer.Option("--dir", help="Folder of a federation on this machine.")] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="An aggregator's settings, instead of --dir.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="control, versions, a bank's id, or a full name; default all.")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="Newest entries of each topic.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each entry.")] = False,
) -> None:
    """Print what stands on the log: kind, sender, run, round, slot, digest, and why an entry is invalid."""
    from tacit.adapters.logs import open_log  # noqa: PLC0415  loads what it needs only when called
    from tacit.aggregator.settings import AggregatorSettings  # noqa: PLC0415  same
    from tacit.cli import places  # noqa: PLC0415  same
    from tacit.cli.layout import Folder  # noqa: PLC0415  same
    from tacit.runtime.accepted import load_accepted  # noqa: PLC0415  same
    from tacit.runtime.settings import load  # noqa: PLC0415  same

    guesses = [Folder(directory).settings("aggregator")] if directory is not None else []
    wanted = load(AggregatorSettings, places.document(settings, "--settings", *guesses))
    accepted = load_accepted(wanted.manifest, wanted.earlier_manifests, wanted.contracts, all_contracts=False)
    log = open_log(wanted.log, "log-show")
    try:
        for name in topic_names(accepted.manifest, wanted.log.topic_prefix, topic):
            _print(name, lines(log, name, last, accepted.ring), as_json=as_json)
    finally:
        log.close()


def topic_names(manifest: "Manifest", prefix: str, wanted: str | None) -> list[str]:
    """The topics that an option names, all of the federation for None.

    Raises:
        BadParameter: If there is no such topic.
    """
    from tacit.wire import topics  # noqa: PLC0415  loads what it needs only when called

    members = [member.id for member in manifest.members]
    names = {
        topic.writer if topic.family == "bank" else str(topic.family): topic.name
        for topic in topics.federation(prefix, members)
    }
    if wanted is None:
        return list(names.values())
    if wanted not in names and wanted not in names.values():
        raise typer.BadParameter(f"{wanted!r}: expected one of {', '.join(names)}", param_hint="--topic")
    return [names.get(wanted, wanted)]


def lines(log: "Log", topic: str, last: int, keys: "KeyRing") -> Iterator[Line]:
    """The newest entries of a topic, oldest first."""
    end = log.end(topic)
    position = max(0, end - last)
    while position < end:
        entries = log.read({topic: position}, BATCH, 1.0)
        if not entries:
            return
        yield from (_line(entry, keys) for entry in entries)
        position = entries[-1].offset + 1


def _line(entry: "Entry", keys: "KeyRing") -> Line:
    from tacit.wire.envelope import InvalidRecord, open_record  # noqa: PLC0415  loads what it needs only when called

    try:
        record = open_record(entry.topic, entry.value, keys)
    except InvalidRecord as error:
        return Line(entry.topic, entry.offset, _digest(entry.value), invalid=f"{error.reason}: {error.detail}")
    header = record.header
    return Line(
        topic=entry.topic,
        offset=entry.offset,
        digest=record.digest.hex(),
        kind=header.kind.name,
        sender=header.sender,
        run=header.run.hex(),
        round=header.round,
        slot=header.slot,
        seq=header.seq,
        time=f"{datetime.fromtimestamp(header.create_time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}",
    )


def _digest(value: bytes) -> str:
    from tacit.wire.envelope import InvalidRecord, record_digest  # noqa: PLC0415  loads what it needs only when called

    try:
        return record_digest(value).hex()
    except InvalidRecord:
        return ""


def _print(topic: str, found: Iterator[Line], *, as_json: bool) -> None:
    if as_json:
        for line in found:
            typer.echo(json.dumps(asdict(line)))
        return
    typer.echo(topic)
    for line in found:
        typer.echo(_row(line))


def _row(line: Line) -> str:
    if line.invalid:
        return f"{line.offset:>8}  INVALID {line.invalid}  {line.digest[:12]}"
    place = f"round {line.round} slot {line.slot}" if line.kind in _ATTEMPTS else ""
    chain = f"seq {line.seq}" if line.seq else ""
    return (
        f"{line.offset:>8}  {line.time}  {line.kind:<10}{line.sender:<14}{line.run[:12]:<14}{place:<18}{chain:<10}"
        f"{line.digest[:12]}"
    )


_ATTEMPTS = frozenset({"QUERY", "RELEASE", "MASKED", "SURVIVORS", "ACK", "UNMASK", "RESULT", "ABORT"})
