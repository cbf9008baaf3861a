"""Tests of reconciler/planning."""
