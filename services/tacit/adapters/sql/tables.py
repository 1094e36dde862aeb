"""The registry's tables. Portable SQL only: the same on SQLite and PostgreSQL.

They are an index over the versions topic, which is the truth; only a version that is about to be published stands here
first, so that what is appended after a crash is what was stored before it.
"""

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DIGEST = String(71)
"""``sha256:`` and 64 hexadecimal digits."""

NAME = String(40)


class Base(DeclarativeBase):
    """All tables; constraints have fixed names, so that a later migration can name them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


class VersionRow(Base):
    """One version. Its place (`Published.position`) and number are empty until its VERSION stands on the topic."""

    __tablename__ = "version"
    __table_args__ = (
        UniqueConstraint("model", "number"),
        CheckConstraint("(place IS NULL) = (number IS NULL)", "published"),
    )

    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    run: Mapped[str] = mapped_column(DIGEST, unique=True)
    model: Mapped[str] = mapped_column(NAME)
    file: Mapped[str] = mapped_column(DIGEST)
    statement: Mapped[bytes] = mapped_column(LargeBinary)
    stage: Mapped[str] = mapped_column(String(16))
    conflict: Mapped[str] = mapped_column(String(400), default="")
    moves: Mapped[int] = mapped_column(default=0)
    place: Mapped[int | None] = mapped_column(unique=True)
    number: Mapped[int | None] = mapped_column()


class MoveRow(Base):
    """One move of an alias; the highest sequence says where it points."""

    __tablename__ = "alias_move"

    model: Mapped[str] = mapped_column(NAME, primary_key=True)
    alias: Mapped[str] = mapped_column(NAME, primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(DIGEST, ForeignKey("version.digest"))
