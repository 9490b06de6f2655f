"""`python -m src.data.docstrings`, the quickstart's data: src/tasks/classifier/docstrings.py."""

from src.tasks.classifier.docstrings import main

if __name__ == "__main__":
    main()
