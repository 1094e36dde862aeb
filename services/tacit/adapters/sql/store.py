"""The registry's version store on SQLAlchemy."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tacit import canonical
from tacit.adapters.sql.tables import MoveRow, VersionRow
from tacit.versions import AliasState, ModelVersion, Published, Stage, StoreError
from tacit.wire import documents


class SqlVersionStore:
    """Rows by digest; every method is one transaction.

    Args:
        engine: An engine whose database has the newest schema; `close` disposes of it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self, version: ModelVersion) -> ModelVersion:
        """Stores a version that is about to be published; the first one of a run wins.

        Returns:
            The version that is stored for the run.

        Raises:
            StoreError: If the database does not answer.
        """
        with self._transaction() as session:
            kept = session.scalar(select(VersionRow).where(VersionRow.run == version.run))
            if kept is not None:
                return _version(kept)
            session.add(_row(version))
            return version

    def publish(self, entries: Iterable[Published], aliases: Iterable[AliasState]) -> None:
        """Writes what the versions topic says, whatever was stored before; a repeat changes nothing.

        Args:
            entries: Versions that stand or changed, each once.
            aliases: Moves that stand; their versions are stored or among `entries`.

        Raises:
            StoreError: If the database does not answer.
        """
        with self._transaction() as session:
            for entry in entries:
                self._replace_other(session, entry)
                session.merge(_published_row(entry))
            session.flush()
            for state in aliases:
                model = session.get_one(VersionRow, state.version).model
                move = MoveRow(model=model, alias=state.alias, sequence=state.sequence, version=state.version)
                session.merge(move)

    def get(self, digest: str) -> Published | None:
        """A published version, None if there is none of that digest."""
        with self._transaction() as session:
            row = session.get(VersionRow, digest)
            return _published(row) if row is not None and row.place is not None else None

    def page(self, model: str | None, after: int, limit: int) -> Sequence[Published]:
        """Published versions in order.

        Args:
            model: Of this model only, None for all.
            after: Position to begin behind, 0 for the start.
            limit: Most versions, 1 or more.
        """
        query = select(VersionRow).where(VersionRow.place > after).order_by(VersionRow.place).limit(limit)
        if model is not None:
            query = query.where(VersionRow.model == model)
        with self._transaction() as session:
            return [_published(row) for row in session.scalars(query)]

    def positions(self) -> dict[str, int]:
        """Position of every published version, by digest."""
        with self._transaction() as session:
            rows = session.execute(select(VersionRow.digest, VersionRow.place))
            return {digest: place for digest, place in rows if place is not None}

    def models(self) -> dict[str, int]:
        """Models and how many published versions each has, by name."""
        query = select(VersionRow.model, func.max(VersionRow.number)).where(VersionRow.place.is_not(None))
        with self._transaction() as session:
            return {name: count or 0 for name, count in session.execute(query.group_by(VersionRow.model))}

    def aliases(self) -> dict[tuple[str, str], AliasState]:
        """Where every alias points, by model and alias."""
        with self._transaction() as session:
            rows = session.scalars(select(MoveRow).order_by(MoveRow.model, MoveRow.alias, MoveRow.sequence))
            return {(row.model, row.alias): AliasState(row.alias, row.version, row.sequence) for row in rows}

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def _replace_other(self, session: Session, entry: Published) -> None:
        """Drops a prepared version of the same run that never stood: the topic decides."""
        other = session.scalar(select(VersionRow).where(VersionRow.run == entry.version.run))
        if other is not None and other.digest != entry.label:
            session.delete(other)
            session.flush()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            # The driver's own text holds statements and values, so it stays in the trace.
            raise StoreError(f"the registry's database does not answer ({type(error).__name__})") from error


def _row(version: ModelVersion) -> VersionRow:
    return VersionRow(
        digest=canonical.label(version.digest),
        run=version.run,
        model=version.model,
        file=version.file,
        statement=canonical.encode(version),
        stage=Stage.CANDIDATE.value,
        conflict="",
        moves=0,
    )


def _published_row(entry: Published) -> VersionRow:
    row = _row(entry.version)
    row.stage, row.conflict, row.moves = entry.stage.value, entry.conflict, entry.moves
    row.place, row.number = entry.position, entry.number
    return row


def _version(row: VersionRow) -> ModelVersion:
    return documents.parse_canonical(ModelVersion, row.statement)


def _published(row: VersionRow) -> Published:
    assert row.place is not None  # noqa: S101  asked for published rows only
    assert row.number is not None  # noqa: S101  the table's own check
    return Published(_version(row), row.place, row.number, Stage(row.stage), row.conflict, row.moves)
