"""Tests of reconciler/importing."""
