"""Config as code for contact-centre interactions: declare in YAML, plan, apply, record."""

__version__ = "0.1.0"
