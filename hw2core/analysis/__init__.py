"""Makes tables, figures and the report from results; training does not import this package."""
