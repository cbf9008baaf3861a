"""Tests of reconciler/yamlfile."""
