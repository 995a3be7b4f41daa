"""Makes tables, figures and the report from results; training never imports this package."""
