"""Load tests of an environment: fixtures, run, verification of delivery, report and SLO measurements."""
