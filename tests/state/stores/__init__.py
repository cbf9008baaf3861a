"""Tests of reconciler/state/stores."""
