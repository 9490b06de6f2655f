"""`python -m src.data.python_docs`, the quickstart's texts: src/tasks/pretrain/corpus/python_docs.py."""

from src.tasks.pretrain.corpus.python_docs import main

if __name__ == "__main__":
    main()
