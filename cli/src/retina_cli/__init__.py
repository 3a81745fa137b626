"""The ``retina`` command and its report, over ``retina_core``."""
