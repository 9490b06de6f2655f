"""Export trained weights with the model zoo's flags: `python export.py --help`; the program's own command is `python -m src.export`."""

from src import signals
from src.export.zoo_flags import main

if __name__ == "__main__":
    signals.watch()
    main()
