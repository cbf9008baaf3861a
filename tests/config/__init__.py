"""Tests of reconciler/config."""
