"""Chaos Toolkit activities: plain functions of plain values."""
