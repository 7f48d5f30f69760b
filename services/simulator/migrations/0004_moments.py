"""What is told at one moment is one row, instead of a row for each status.

The table before is left: replicas of the version before write to it until they are replaced.
"""

from alembic import op

revision = "simulator_0004"
down_revision = "simulator_0003"

STATEMENTS = (
    """CREATE TABLE due_callbacks (
        due_at timestamptz NOT NULL,
        attempts int NOT NULL DEFAULT 0,
        statuses json NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)""",
    "CREATE INDEX due_callbacks_due_at ON due_callbacks (due_at)",
    """WITH taken AS (DELETE FROM callbacks RETURNING *)
    INSERT INTO due_callbacks (due_at, attempts, statuses)
    SELECT due_at, attempts, json_build_array(json_build_array(
        phone_number_id, status ->> 'id', status ->> 'recipient_id', status ->> 'biz_opaque_callback_data',
        (status ->> 'timestamp')::bigint, status ->> 'status', (status -> 'errors' -> 0 ->> 'code')::int))
    FROM taken""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE due_callbacks")
