"""The tables of `hhmr evaluate`: each file measures one question, catalogue.py has them by name."""
