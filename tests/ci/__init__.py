"""The files of docs/ci, run as a hosting platform runs them."""
