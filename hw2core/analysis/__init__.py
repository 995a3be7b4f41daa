"""From result documents to tables, figures and the report; training never imports this room."""
