"""Versions and the moves of aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DIGEST = sa.String(71)
NAME = sa.String(40)


def upgrade() -> None:
    """Makes the first tables."""
    op.create_table(
        "version",
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("run", DIGEST, nullable=False),
        sa.Column("model", NAME, nullable=False),
        sa.Column("file", DIGEST, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("conflict", sa.String(400), nullable=False),
        sa.Column("moves", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.CheckConstraint("(place IS NULL) = (number IS NULL)", name="ck_version_published"),
        sa.PrimaryKeyConstraint("digest", name="pk_version"),
        sa.UniqueConstraint("model", "number", name="uq_version_model_number"),
        sa.UniqueConstraint("place", name="uq_version_place"),
        sa.UniqueConstraint("run", name="uq_version_run"),
    )
    op.create_table(
        "alias_move",
        sa.Column("model", NAME, nullable=False),
        sa.Column("alias", NAME, nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", DIGEST, nullable=False),
        sa.ForeignKeyConstraint(["version"], ["version.digest"], name="fk_alias_move_version_version"),
        sa.PrimaryKeyConstraint("model", "alias", "sequence", name="pk_alias_move"),
    )


def downgrade() -> None:
    """Drops them; the versions topic fills them again."""
    op.drop_table("alias_move")
    op.drop_table("version")
