"""Alerts, whom they are for, and what they tell of; what the Registry remembers of itself."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "internal_metadata",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_internal_metadata")),
        sa.UniqueConstraint("key", name=op.f("uq_internal_metadata_key")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("institution_id", tables.Id, nullable=True),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["institution_id"], ["institutions.id"], name=op.f("fk_alerts_institution_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_institution_id"), "alerts", ["institution_id"])
    op.create_table(
        "alerts_users",
        sa.Column("alert_id", tables.Id, nullable=False),
        sa.Column("user_id", tables.Id, nullable=False),
        sa.Column("sent_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("read_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_alerts_users_alert_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_users.id"], name=op.f("fk_alerts_users_user_id")
        ),
        sa.PrimaryKeyConstraint("alert_id", "user_id", name=op.f("pk_alerts_users")),
    )
    op.create_index(op.f("ix_alerts_users_user_id"), "alerts_users", ["user_id"])
    op.create_table(
        "alerts_premis_events",
        sa.Column("alert_id", tables.Id, nullable=False),
        sa.Column("premis_event_id", tables.Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name=op.f("fk_alerts_premis_events_alert_id")
        ),
        sa.ForeignKeyConstraint(
            ["premis_event_id"],
            ["premis_events.id"],
            name=op.f("fk_alerts_premis_events_premis_event_id"),
        ),
        sa.PrimaryKeyConstraint(
            "alert_id", "premis_event_id", name=op.f("pk_alerts_premis_events")
        ),
    )
    op.create_index(
        op.f("ix_alerts_premis_events_premis_event_id"),
        "alerts_premis_events",
        ["premis_event_id"],
    )
    failed = sa.text("event_type = 'fixity check' AND outcome = 'Failed'")
    op.create_index(
        op.f("ix_premis_events_failed_fixity"),
        "premis_events",
        ["date_time"],
        sqlite_where=failed,
        postgresql_where=failed,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_premis_events_failed_fixity"), table_name="premis_events")
    for name in ("alerts_premis_events", "alerts_users", "alerts", "internal_metadata"):
        op.drop_table(name)
