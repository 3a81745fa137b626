"""``python -m retina_cli`` is ``retina``."""

from retina_cli.main import main

if __name__ == "__main__":
    main(prog_name="retina")
