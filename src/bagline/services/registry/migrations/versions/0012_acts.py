"""What people did, which nobody changes; the roles as contract J has them.

Triggers refuse to change or remove an act. Who owns the database can take them away: that is the
operator's to see (docs/operating/audit.md).
"""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

RENAMED = {
    "sys_admin": "admin",
    "inst_admin": "institutional_admin",
    "inst_user": "institutional_user",
}
REFUSAL = "acts are never changed"
SQLITE = (
    ("acts_keep_rows", "DELETE", ""),
    ("acts_keep_values", "UPDATE", ""),
    # INSERT OR REPLACE removes a row without asking the trigger above.
    ("acts_keep_ids", "INSERT", "WHEN EXISTS (SELECT 1 FROM acts WHERE id = NEW.id)"),
)
POSTGRESQL = (
    ("acts_keep_rows", "UPDATE OR DELETE", "ROW"),
    ("acts_keep_table", "TRUNCATE", "STATEMENT"),
)


def upgrade() -> None:
    op.create_table(
        "acts",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("at", tables.WireTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("act", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acts")),
    )
    op.create_index(op.f("ix_acts_at"), "acts", ["at"])
    op.create_index(op.f("ix_acts_institution_id_id"), "acts", ["institution_id", "id"])
    op.create_index(op.f("ix_acts_subject"), "acts", ["subject"], postgresql_using="hash")
    if op.get_bind().dialect.name == "postgresql":
        _keep_in_postgresql()
    else:
        for name, what, when in SQLITE:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {what} ON acts {when} "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
    _rename(RENAMED)


def _keep_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION acts_are_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    for name, what, each in POSTGRESQL:
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {what} ON acts "
            f"FOR EACH {each} EXECUTE FUNCTION acts_are_kept()"
        )
        # Also in a session that replicates.
        op.execute(f"ALTER TABLE acts ENABLE ALWAYS TRIGGER {name}")


def downgrade() -> None:
    op.drop_table("acts")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION acts_are_kept()")
    _rename({new: old for old, new in RENAMED.items()})


def _rename(names: dict[str, str]) -> None:
    for old, new in names.items():
        op.execute(
            sa.text("UPDATE api_users SET role = :new WHERE role = :old").bindparams(
                new=new, old=old
            )
        )
