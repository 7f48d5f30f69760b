"""Events could not be processed."""

from __future__ import annotations

from runbooks.actions import LIST_DEAD_LETTERS, REPLAY_DEAD_LETTERS
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("dead-letters", "Whether events could not be processed.")
STEPS = (*read_steps(CHECK), *change_steps(LIST_DEAD_LETTERS, REPLAY_DEAD_LETTERS), *verify_steps(CHECK))
