"""The renderers' tests: whole outputs, and what holds for any of them."""
