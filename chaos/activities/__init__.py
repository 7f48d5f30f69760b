"""Activities in Chaos Toolkit's form: plain functions of plain values, whose docstrings are their help."""
