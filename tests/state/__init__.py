"""Tests of reconciler/state."""
