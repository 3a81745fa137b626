"""Readers of data sets as their owners distribute them, each found by the layout of its folder."""
