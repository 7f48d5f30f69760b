"""Audit of the dependencies: vulnerabilities, licences, sizes, imports, duplicates and SBOMs."""
