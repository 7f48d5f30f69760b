"""Reports are matched by our own id alone: the index of the provider's ids goes.

With it a result rewrote its message in all indices, and its entries fell anywhere in an index as large as all
messages there are: after each checkpoint a page of it went into the log for nearly each of them. A process of
the version before goes on working beside; only a report without our id, which the provider does not send,
makes it look through a company's messages.
"""

from alembic import op

revision = "whatsapp_0007"
down_revision = "whatsapp_0006"


def upgrade() -> None:
    op.execute("DROP INDEX messages_provider")
