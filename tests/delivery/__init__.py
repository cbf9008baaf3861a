"""Tests of reconciler/delivery."""
