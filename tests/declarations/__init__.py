"""Tests of reconciler/declarations."""
