"""The control of esq as documents of Chaos Toolkit name it; see `chaos.control`.

Chaos Toolkit finds the hooks by name in this module. It is in the folder of the command line, because the
control opens an environment, which `chaos` must not know.
"""

from __future__ import annotations

from chaos.control import Control
from cli.actions.chaos import open_setup

_control = Control(open_setup)

configure_control = _control.configure_control
before_experiment_control = _control.before_experiment_control
before_activity_control = _control.before_activity_control
after_activity_control = _control.after_activity_control
after_experiment_control = _control.after_experiment_control
cleanup_control = _control.cleanup_control
